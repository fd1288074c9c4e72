"""The embedded engine: continuous batching over any decoder of transformers, on CPU or one GPU.

Rows of a fixed key-value store hold the requests in flight; a row that ends is given to the next request at once, so no
row waits for the longest. No prompt is computed that some row has: a request that goes on keeps its row, a new one takes the
keys and values of the row that shares most of its prompt, and a request that stopped is parked, and goes on from its own when
it comes back with the output of its code. The temperature ramp is applied inside the decoding loop. Draws depend on the
request's seed and the logits alone. Off the processor the host looks at what the rows came to only every few tokens, and asks
nothing of the device in between. Knows no text, no problem and no policy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scdpo.engines.attention import FOLDED, with_attention
from scdpo.engines.graphs import CudaCapture, Graphs
from scdpo.engines.interface import Completion, Generate, refuse_unfit
from scdpo.engines.limits import PASS_LEAST, cut_passes, slots
from scdpo.engines.processors import for_processor
from scdpo.engines.row_state import Look, Marks, RowState, StepShape
from scdpo.engines.row_store import RowStore
from scdpo.errors import ModelError

WORTH_COPYING = 8
"""Tokens that a row must share with a new prompt for their keys and values to be taken over."""
WORTH_WAITING = 16
"""Shared tokens, not yet computed, for which a new prompt waits until they are."""
GRID = 16
"""The step between widths of passes in bfloat16 on a processor: oneDNN compiles a kernel a shape and keeps a thousand."""
BURST = 8
"""Tokens between two looks of the host where it must wait for the device: what a look costs is shared by eight, and a row that
ended stands still for four of them on average. A processor waits for nothing, and looks at each token."""
STEP_GRID = 128
"""The step between numbers of places looked back on, off the processor: few shapes to capture, and masks lie as kernels want
them."""


class TransformersEngine:
    """Generates with `model` (a causal LM of transformers), at most `rows` requests at once.

    end_ids: ids that end a solution; step_end_ids: ids that end a step, for the ramp; capacity: tokens of the longest
    prompt with its completion (rows x capacity is what the key-value store holds); stop_ids: ids at which a request's `stop` is
    asked; burst: tokens of one `advance`, by default 1 on a processor and BURST elsewhere. Raises ModelError for a model with
    other attention than full "sdpa".
    """

    def __init__(
        self,
        model: Any,
        end_ids: Collection[int],
        step_end_ids: Collection[int],
        rows: int = 256,
        capacity: int = 1024,
        stop_ids: Collection[int] = (),
        burst: int | None = None,
    ) -> None:
        refuse_other_attention(model, capacity)
        if burst is not None and burst < 1:
            raise ModelError(f"a burst of {burst} tokens decodes nothing; give 1 or more")
        self.device = model.device
        on_processor = self.device.type == "cpu"
        self.model = for_processor(model.eval()) if on_processor else with_attention(model.eval(), FOLDED)
        self.burst = burst or (1 if on_processor else BURST)
        self.has_few_shapes = not on_processor
        self.graphs = Graphs(CudaCapture(self.device)) if self.device.type == "cuda" else None
        self.grid = GRID if on_processor and model.dtype == torch.bfloat16 else 1
        self.rows, self.capacity = rows, capacity
        self.slots = slots(rows, bool(stop_ids))
        layers = model.config.get_text_config().num_hidden_layers
        self.store = RowStore(layers, rows + len(self.slots), capacity, tight=on_processor)
        marks = Marks.of(end_ids, step_end_ids, stop_ids, model.get_input_embeddings().num_embeddings)
        self.state = RowState(rows, capacity, marks, self.device)
        self.reset()

    @torch.inference_mode()
    def reset(self) -> None:
        self.store.forget()
        self.state.clear()
        self.queue: deque[tuple[int, Generate]] = deque()
        self.active: list[tuple[int, Generate]] = []
        self.ended: dict[int, int] = {}
        self.parked: dict[int, Parked] = {}
        self.free_slots = list(self.slots)
        self.moves: dict[int, tuple[int, int]] = {}  # keys and values to copy: row -> (source, how many)

    def submit(self, ticket: int, request: Generate) -> None:
        refuse_unfit(request, self.capacity)
        row = self.ended.get(ticket)
        if row is not None and ticket not in self.parked:
            shared = common(self.state.asked[row], request.ids)
            if shared == len(request.ids) or shared >= WORTH_COPYING:
                del self.ended[ticket]
                self.active[row] = (ticket, request)
                self.state.begin(row, request, shared)
                return
        self.queue.append((ticket, request))

    def cancel(self, ticket: int) -> None:
        row = next((row for row, (other, _) in enumerate(self.active) if other == ticket), None)
        if row is not None:
            self.ended[ticket] = row  # its place is closed with the next advance
        self.queue = deque(waiting for waiting in self.queue if waiting[0] != ticket)
        if ticket in self.parked:
            self.free_slots.append(self.parked.pop(ticket).slot)

    @torch.inference_mode()
    def advance(self) -> list[tuple[int, Completion]]:
        """Give free rows to those who wait, compute prompts where that is worth a pass, and decode a burst of tokens."""
        self._close_gaps()
        self._fill_rows()
        if not self.active:
            return []
        before = self._before()
        much = before[before >= PASS_LEAST]
        if len(much) == len(before) or much.sum() >= len(before):  # a pass over as many tokens as a step has
            self._compute_prompts(before)
        self._settle()
        self._burst()
        return self._finished()

    def _before(self) -> np.ndarray:
        """Tokens of its prompt that each row has before it, [active]."""
        return (self.state.known_prompts - self.state.known_lengths)[: len(self.active)]

    def _settle(self) -> None:
        """Have the device do what was decided of its rows."""
        self.store.move(self.moves)
        self.moves = {}
        self.state.write()

    def _burst(self) -> None:
        """Decode up to `burst` tokens in each row. Nothing in here waits for the device."""
        count = len(self.active)
        lengths, limits = self.state.known_lengths[:count], self.state.known_limits[:count]
        longest, most = int(lengths.max()), max(1, int((limits - lengths).max()))
        any_drawn = any(request.temperature.maximum > 0 for _, request in self.active)
        has_top_p = any_drawn and any(request.top_p < 1 for _, request in self.active)
        any_greedy = not any_drawn or any(request.temperature.start == 0 for _, request in self.active)
        rows = min(self.rows, 1 << (count - 1).bit_length()) if self.has_few_shapes else count
        if self.can_freeze:
            self.state.wake(count)
        for step in range(min(self.burst, most)):
            shape = StepShape(rows, self._reach(longest + step), has_top_p, any_greedy, any_drawn)
            if self.graphs:
                self.graphs.run(shape, partial(self._step, shape))
            else:
                self._step(shape)

    @property
    def can_freeze(self) -> bool:
        """Whether there are steps in which some row must stay as it is."""
        return self.burst > 1 or self.has_few_shapes

    def _reach(self, longest: int) -> int:
        """The places that a step over rows of at most so many tokens looks back on."""
        return min(self.capacity, longest + (-longest % STEP_GRID if self.has_few_shapes else 0))

    def _step(self, shape: StepShape) -> None:
        """Decode one token in each of the first rows: the same calls for the same shape, in place, with no look of the host."""
        places = self.state.lengths[: shape.rows] - 1
        if self.can_freeze:
            places = places.clamp(0, shape.width - 1)  # of rows that hold nothing
        tokens = self.state.ids[: shape.rows].gather(1, places[:, None])
        mask = torch.arange(shape.width, device=self.device)[None, :] <= places[:, None]
        if self.has_few_shapes:  # as the scores are added to, which sdpa would make of it in every layer
            mask = torch.where(mask, 0.0, float("-inf")).to(self.model.dtype)
        self.store.step(places, shape.width)
        states = self._hidden(tokens, places[:, None], mask[:, None, None, :])
        self.state.append(shape, self.model.get_output_embeddings()(states[:, -1]), self.can_freeze)

    def _fill_rows(self) -> None:
        """Give free rows to those who wait. Who shares much of a prompt that is still to be computed waits until it is."""
        while self.queue and len(self.active) < self.rows:
            put_off: list[tuple[int, Generate]] = []
            while self.queue and len(self.active) < self.rows:
                arrival = self.queue.popleft()
                if not self._admit(*arrival):
                    put_off.append(arrival)
            self.queue.extendleft(reversed(put_off))
            if put_off:
                self._compute_prompts(self._before())

    def _admit(self, ticket: int, request: Generate) -> bool:
        """Give a request the next row, with what is computed of its prompt already, by itself or by the row that shares most of
        it; False where that row is about to compute more of it."""
        row = len(self.active)
        own = self.parked.get(ticket)
        if own is not None:
            source, shared = own.slot, common(np.array(own.ids), request.ids)
        else:
            source, shared = self._relative(request.ids)
            computed = int(self.state.known_lengths[source]) - 1
            if shared - computed >= WORTH_WAITING and self.state.known_prompts[source] - computed > PASS_LEAST:
                return False
            shared = min(shared, computed)
        if self.parked.pop(ticket, None) is not None:
            self.free_slots.append(source)
        self.active.append((ticket, request))
        if shared < WORTH_COPYING and own is None:
            shared = 0
        if shared:
            origin, _ = self.moves.get(source, (source, 0))  # what is still to be copied lies there
            self.moves[row] = (origin, shared)
        self.state.begin(row, request, shared)
        return True

    def _relative(self, ids: tuple[int, ...]) -> tuple[int, int]:
        """The row at work that shares most of a prompt, and how many of its tokens."""
        if not self.active:
            return 0, 0
        differs = self.state.asked[: len(self.active), : len(ids)] != np.array(ids)
        shared = np.where(differs.any(axis=1), differs.argmax(axis=1), len(ids))
        row = int(shared.argmax())
        return row, int(shared[row])

    def _compute_prompts(self, before: np.ndarray) -> None:
        """Compute the prompts of the rows that have much before them, but for the last token, which the next step reads.

        before: [active], tokens that a row has before it.
        """
        self._settle()
        for rows, longest in cut_passes(before.tolist(), self.grid):
            known_counts, ends = before[rows], self.state.known_lengths[rows] - 1 + before[rows]
            width = self._reach(int(ends.max()))
            chosen, counts, ends = torch.from_numpy(np.stack((rows, known_counts, ends))).to(self.device)
            offsets = torch.arange(longest, device=self.device)
            is_real = offsets[None, :] < counts[:, None]
            places = ((ends - counts)[:, None] + offsets[None, :]).where(is_real, 0)
            causal = torch.arange(width, device=self.device)[None, None, :] <= places[:, :, None]
            self.store.read_on(chosen, places, is_real, width)
            self._hidden(self.state.ids[chosen[:, None], places], places, causal[:, None])
            self.state.has_read(rows, chosen, counts, known_counts)

    def _park(self, row: int, ids: tuple[int, ...]) -> None:
        """Keep the keys and values of a row that stopped after these ids; the oldest parked ones give way."""
        if not self.free_slots and self.parked:
            self.free_slots.append(self.parked.pop(next(iter(self.parked))).slot)
        if self.free_slots:
            slot = self.free_slots.pop()
            self.parked[self.active[row][0]] = Parked(slot, ids)
            self.moves[slot] = (row, len(ids))

    def _hidden(self, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        return self.model.get_decoder()(
            input_ids=ids, position_ids=positions, attention_mask=mask, past_key_values=self.store, use_cache=True
        ).last_hidden_state

    def _finished(self) -> list[tuple[int, Completion]]:
        """The completions of the rows that ended; the rows stay until the next `advance`, for a request that goes on."""
        look = self.state.look(len(self.active))
        if look is None:
            return []
        own = self._own_ids(np.flatnonzero(look.ended | look.asks | look.full).tolist())
        stopped = self._stopped(look, own)
        for row in stopped:
            prompt = tuple(self.active[row][1].ids)
            self._park(row, (*prompt, *own[row][:-1]))  # the last id is not computed yet
        self._settle()
        done = sorted({*np.flatnonzero(look.ended | look.full).tolist(), *stopped})
        self.ended = {self.active[row][0]: row for row in done}
        return self._completions(done, look, stopped, own)

    def _own_ids(self, rows: list[int]) -> dict[int, list[int]]:
        """The ids that some rows have drawn so far."""
        if not rows:
            return {}
        first, last = self.state.known_prompts, self.state.known_lengths
        found = self.state.fetch(self.state.ids, rows)
        return {row: ids[first[row] : last[row]].tolist() for row, ids in zip(rows, found, strict=True)}

    def _stopped(self, look: Look, own: dict[int, list[int]]) -> list[int]:
        """The rows whose request wants to stop after the id just generated."""
        stops = ((row, self.active[row][1].stop) for row in np.flatnonzero(look.asks).tolist())
        return [row for row, stop in stops if stop is not None and stop(own[row])]

    def _completions(
        self, done: list[int], look: Look, stopped: list[int], own: dict[int, list[int]]
    ) -> list[tuple[int, Completion]]:
        if not done:
            return []
        state, found = self.state, []
        tables = (state.fetch(table, done) for table in (state.temperatures, state.log_probs))
        for row, temperatures, log_probs in zip(done, *tables, strict=True):
            ended = bool(look.ended[row])
            kept = slice(state.known_prompts[row], state.known_lengths[row] - ended)
            completion = Completion(
                ids=tuple(own[row][:-1] if ended else own[row]),
                temperatures=tuple(round(value, 6) for value in temperatures[kept].tolist()),
                log_probs=tuple(log_probs[kept].tolist()),
                finish="end" if ended else "stop" if row in stopped else "length",
            )
            found.append((self.active[row][0], completion))
        return found

    def _close_gaps(self) -> None:
        """Move the last rows into the places of those that ended, so that the active ones stay together."""
        if not self.ended:
            return
        order = list(range(len(self.active)))
        for row in sorted(self.ended.values(), reverse=True):
            order[row] = order[-1]
            order.pop()
        moved = self.state.reorder(order)
        self.store.move({row: (source, int(self.state.known_lengths[row])) for row, source in moved.items()})
        self.active = [self.active[row] for row in order]
        self.ended = {}


def refuse_other_attention(model: Any, context: int) -> None:
    """Refuse a model that would not read our boolean 4-D masks as they are meant. Raises ModelError.

    A sliding window is lost behind a 4-D mask, and the "eager" implementation adds a boolean mask to the scores.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if window is not None and window < context:
        raise ModelError(f"this model looks back {window} tokens at most; set model.context to {window} or less")
    if config._attn_implementation != "sdpa":
        raise ModelError(f'attention "{config._attn_implementation}" is not supported; load the model with "sdpa"')


@dataclass(frozen=True, slots=True)
class Parked:
    """A request that stopped: the slot of the store that keeps it, and the ids that are computed there, prompt included."""

    slot: int
    ids: tuple[int, ...]


def common(known: np.ndarray, ids: tuple[int, ...]) -> int:
    """How many ids both begin with."""
    most = min(len(known), len(ids))
    differs = np.flatnonzero(known[:most] != np.array(ids[:most]))
    return int(differs[0]) if len(differs) else most
