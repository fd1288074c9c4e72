"""The embedded engine: continuous batching over any decoder of transformers, on CPU or one GPU.

Rows of a fixed key-value store hold the requests in flight; a row that ends is given to the next request at once, so no
row waits for the longest. No prompt is computed that some row has: who asks again keeps the row, a new request takes over the
keys and values of the row that shares most of its prompt, and a request that stopped is parked, and goes on from its own when
it comes back with the output of its code. The temperature ramp is applied inside the decoding loop. Draws depend on the
request's seed and the logits alone. Knows no text, no problem and no policy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scdpo.engines.draw import draw, draws_of
from scdpo.engines.interface import Completion, Generate, refuse_unfit
from scdpo.engines.processors import for_processor
from scdpo.engines.row_store import RowStore
from scdpo.errors import ModelError

PARKED_SHARE = 4
"""Of so many rows there is one more to park a request that stopped."""
WORTH_COPYING = 8
"""Tokens that a row must share with a new prompt for their keys and values to be taken over."""
WORTH_WAITING = 16
"""Shared tokens, not yet computed, for which a new prompt waits until they are."""
PASS_LEAST = 4
"""Fewer tokens of a prompt are read one by one, beside the rows that generate."""
PASS_TOKENS = 8192
"""The most tokens of one forward pass over prompts, padding included."""
GRID = 16
"""Of the widths of passes in bfloat16 on a processor: oneDNN compiles a kernel for every shape and keeps a thousand of them."""


class TransformersEngine:
    """Generates with `model` (a causal LM of transformers), at most `rows` requests at once.

    end_ids: ids that end a solution; step_end_ids: ids that end a step, for the ramp; capacity: tokens of the longest
    prompt with its completion (rows x capacity is what the key-value store holds); stop_ids: ids at which a request's `stop` is
    asked.
    """

    def __init__(
        self,
        model: Any,
        end_ids: Collection[int],
        step_end_ids: Collection[int],
        rows: int = 256,
        capacity: int = 1024,
        stop_ids: Collection[int] = (),
    ) -> None:
        refuse_other_attention(model, capacity)
        self.model = for_processor(model.eval()) if model.device.type == "cpu" else model.eval()
        self.device = model.device
        vocabulary = model.get_input_embeddings().num_embeddings
        self.is_end = _membership(end_ids, vocabulary, self.device)
        self.is_step_end = _membership(step_end_ids, vocabulary, self.device)
        self.is_stop = _membership(stop_ids, vocabulary, self.device) if stop_ids else None
        self.grid = GRID if self.device.type == "cpu" and model.dtype == torch.bfloat16 else 1
        self.rows, self.capacity = rows, capacity
        self.slots = range(rows, rows + (max(1, rows // PARKED_SHARE) if stop_ids else 0))
        layers = model.config.get_text_config().num_hidden_layers
        self.store = RowStore(layers, rows + len(self.slots), capacity, tight=self.device.type == "cpu")
        self.reset()

    def reset(self) -> None:
        if self.store.tight:
            self.store.forget()
        self.queue: deque[tuple[int, Generate]] = deque()
        self.active: list[tuple[int, Generate]] = []
        self.ended: dict[int, int] = {}
        self.parked: dict[int, Parked] = {}
        self.free_slots = list(self.slots)
        self.asked = np.full((self.rows, self.capacity), -1)  # prompts, on the host
        state = {"device": self.device}
        self.ids = torch.zeros(self.rows, self.capacity, dtype=torch.long, **state)
        self.draws = torch.zeros(self.rows, self.capacity, dtype=torch.float64, **state)
        self.temperatures = torch.zeros(self.rows, self.capacity, **state)
        self.log_probs = torch.zeros(self.rows, self.capacity, **state)
        self.lengths = torch.zeros(self.rows, dtype=torch.long, **state)
        self.prompts = torch.zeros(self.rows, dtype=torch.long, **state)
        self.limits = torch.zeros(self.rows, dtype=torch.long, **state)
        self.ramps = torch.zeros(self.rows, 3, dtype=torch.float64, **state)
        self.top_p = torch.ones(self.rows, dtype=torch.float64, **state)
        self.steps = torch.zeros(self.rows, dtype=torch.long, **state)
        self.in_step = torch.zeros(self.rows, dtype=torch.bool, **state)
        self.row_state = (
            self.asked,
            self.ids,
            self.draws,
            self.temperatures,
            self.log_probs,
            self.lengths,
            self.prompts,
            self.limits,
            self.ramps,
            self.top_p,
            self.steps,
            self.in_step,
        )

    def submit(self, ticket: int, request: Generate) -> None:
        refuse_unfit(request, self.capacity)
        row = self.ended.get(ticket)
        if row is not None and ticket not in self.parked:
            shared = common(self.asked[row], request.ids)
            if shared == len(request.ids) or shared >= WORTH_COPYING:
                del self.ended[ticket]
                self.active[row] = (ticket, request)
                self._begin(row, request, shared)
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
        """Give free rows to those who wait, compute prompts where that is worth a pass, and decode one token in every row."""
        self._close_gaps()
        self._fill_rows()
        if not self.active:
            return []
        before = (self.prompts - self.lengths)[: len(self.active)]
        much = before[before >= PASS_LEAST]
        if len(much) == len(before) or int(much.sum()) >= len(before):  # a pass over as many tokens as a step has
            self._compute_prompts(before)
        count = len(self.active)
        places = self.lengths[:count] - 1
        tokens = self.ids[:count].gather(1, places[:, None])
        width = int(places.max()) + 1
        visible = torch.arange(width, device=self.device)[None, :] <= places[:, None]
        self.store.step(places, width)
        states = self._hidden(tokens, places[:, None], visible[:, None, None, :])
        self._append(count, self.model.get_output_embeddings()(states[:, -1]))
        return self._finished()

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
                self._compute_prompts((self.prompts - self.lengths)[: len(self.active)])

    def _admit(self, ticket: int, request: Generate) -> bool:
        """Give a request the next row, with what is computed of its prompt already, by itself or by the row that shares most of
        it; False where that row is about to compute more of it."""
        row = len(self.active)
        own = self.parked.get(ticket)
        if own is not None:
            source, shared = own.slot, common(np.array(own.ids), request.ids)
        else:
            source, shared = self._relative(request.ids)
            computed = int(self.lengths[source]) - 1
            if shared - computed >= WORTH_WAITING and int(self.prompts[source]) - computed > PASS_LEAST:
                return False
            shared = min(shared, computed)
        if self.parked.pop(ticket, None) is not None:
            self.free_slots.append(source)
        self.active.append((ticket, request))
        if shared >= WORTH_COPYING or own is not None:
            self.store.move(source, row, shared)
            self._begin(row, request, shared)
        else:
            self._begin(row, request, 0)
        return True

    def _relative(self, ids: tuple[int, ...]) -> tuple[int, int]:
        """The row at work that shares most of a prompt, and how many of its tokens."""
        if not self.active:
            return 0, 0
        differs = self.asked[: len(self.active), : len(ids)] != np.array(ids)
        shared = np.where(differs.any(axis=1), differs.argmax(axis=1), len(ids))
        row = int(shared.argmax())
        return row, int(shared[row])

    def _compute_prompts(self, before: Tensor) -> None:
        """Compute the prompts of the rows that have much before them, but for the last token, which the next step reads.

        before: [active], tokens that a row has before it.
        """
        for rows, longest in passes(before.tolist(), self.grid):
            chosen = torch.tensor(rows, device=self.device)
            starts, counts = self.lengths[chosen] - 1, before[chosen]
            offsets = torch.arange(longest, device=self.device)
            is_real = offsets[None, :] < counts[:, None]
            places = (starts[:, None] + offsets[None, :]).where(is_real, 0)
            width = int((starts + counts).max())
            causal = torch.arange(width, device=self.device)[None, None, :] <= places[:, :, None]
            self.store.read_on(chosen, places, is_real, width)
            self._hidden(self.ids[chosen[:, None], places], places, causal[:, None])
            self.lengths[chosen] += counts

    def _park(self, row: int) -> None:
        """Keep the keys and values of a row that stopped; the oldest parked ones give way."""
        ticket, length = self.active[row][0], int(self.lengths[row]) - 1  # the last id is not computed yet
        if not self.free_slots and self.parked:
            self.free_slots.append(self.parked.pop(next(iter(self.parked))).slot)
        if self.free_slots:
            slot = self.free_slots.pop()
            self.parked[ticket] = Parked(slot, tuple(self.ids[row, :length].tolist()))
            self.store.move(row, slot, length)

    def _begin(self, row: int, request: Generate, computed: int) -> None:
        """Set `row` to a request of whose prompt `computed` tokens are in the store; the rest it reads as if it drew it."""
        length, ramp = len(request.ids), request.temperature
        self.asked[row, :length], self.asked[row, length:] = request.ids, -1
        self.ids[row, :length] = torch.tensor(request.ids)
        self.draws[row, length : length + request.max_new_tokens] = draws_of(request.seed, request.max_new_tokens)
        self.ramps[row] = torch.tensor((ramp.start, ramp.increment, ramp.maximum), dtype=torch.float64)
        self.top_p[row] = request.top_p
        self.lengths[row], self.prompts[row] = min(computed, length - 1) + 1, length
        self.limits[row] = length + request.max_new_tokens
        self.steps[row], self.in_step[row] = request.step, False

    def _hidden(self, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        return self.model.get_decoder()(
            input_ids=ids, position_ids=positions, attention_mask=mask, past_key_values=self.store, use_cache=True
        ).last_hidden_state

    def _append(self, count: int, logits: Tensor) -> None:
        """Draw the next token of the first `count` rows from their logits [rows, vocabulary] and write it down."""
        rows, logits = slice(0, count), logits.float()
        start, increment, maximum = self.ramps[rows].unbind(1)
        temperature = torch.minimum(start + increment * self.steps[rows], maximum)
        places = self.lengths[rows]
        given = places < self.prompts[rows]  # of a prompt that is read one by one
        top_p = self.top_p[rows] if any(request.top_p < 1 for _, request in self.active) else None
        any_greedy = any(request.temperature.start == 0 for _, request in self.active)
        any_drawn = any(request.temperature.maximum > 0 for _, request in self.active)
        numbers = self.draws[rows].gather(1, places[:, None])[:, 0]
        tokens = draw(logits, temperature, top_p, numbers, any_greedy, any_drawn)
        tokens = torch.where(given, self.ids[rows].gather(1, places[:, None])[:, 0], tokens)
        log_probs = torch.log_softmax(logits, dim=-1).gather(1, tokens[:, None])
        self.ids[rows].scatter_(1, places[:, None], tokens[:, None])
        self.temperatures[rows].scatter_(1, places[:, None], temperature[:, None].float())
        self.log_probs[rows].scatter_(1, places[:, None], log_probs)
        self.lengths[rows] += 1
        ends = self.is_step_end[tokens]
        self.steps[rows] += ends & self.in_step[rows] & ~given
        self.in_step[rows] = ~ends & ~given

    def _finished(self) -> list[tuple[int, Completion]]:
        """The completions of the rows that ended; the rows stay until the next `advance`, for who asks again."""
        lengths = self.lengths[: len(self.active)]
        last = self.ids[: len(self.active)].gather(1, lengths[:, None] - 1)[:, 0]
        ended = self.is_end[last] & (lengths > self.prompts[: len(self.active)])
        stopped = self._stopped(last, ended, lengths)
        for row in stopped:
            self._park(row)
        done = sorted({*(ended | (lengths >= self.limits[: len(self.active)])).nonzero()[:, 0].tolist(), *stopped})
        self.ended = {self.active[row][0]: row for row in done}
        return [(ticket, self._completion(row, bool(ended[row]), row in stopped)) for ticket, row in self.ended.items()]

    def _stopped(self, last: Tensor, ended: Tensor, lengths: Tensor) -> list[int]:
        """The rows whose request wants to stop behind the id just generated."""
        if self.is_stop is None:
            return []
        found = []
        for row in (self.is_stop[last] & ~ended & (lengths > self.prompts[: len(self.active)])).nonzero()[:, 0].tolist():
            stop = self.active[row][1].stop
            if stop is not None and stop(self.ids[row, int(self.prompts[row]) : int(lengths[row])].tolist()):
                found.append(row)
        return found

    def _close_gaps(self) -> None:
        """Move the last rows into the places of those that ended, so that the active ones stay together."""
        for row in sorted(self.ended.values(), reverse=True):
            final = len(self.active) - 1
            if row != final:
                for state in self.row_state:
                    state[row] = state[final]
                self.store.move(final, row, int(self.lengths[row]))
                self.active[row] = self.active[final]
            self.active.pop()
        self.ended = {}

    def _completion(self, row: int, ended: bool, stopped: bool) -> Completion:
        start, stop = int(self.prompts[row]), int(self.lengths[row]) - ended
        return Completion(
            ids=tuple(self.ids[row, start:stop].tolist()),
            temperatures=tuple(round(value, 6) for value in self.temperatures[row, start:stop].tolist()),
            log_probs=tuple(self.log_probs[row, start:stop].tolist()),
            finish="end" if ended else "stop" if stopped else "length",
        )


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


def passes(before: list[int], grid: int) -> Iterator[tuple[list[int], int]]:
    """The rows with PASS_LEAST tokens and more before them, in groups of about equal length and PASS_TOKENS at most, each with
    the length that its rows are padded to: a multiple of grid."""
    rows = sorted((row for row, count in enumerate(before) if count >= PASS_LEAST), key=lambda row: -before[row])
    group: list[int] = []
    longest = 0
    for row in rows:
        if group and (before[row] < before[group[0]] / 2 or (len(group) + 1) * longest > PASS_TOKENS):
            yield group, longest
            group = []
        if not group:
            longest = before[row] + -before[row] % grid
        group.append(row)
    if group:
        yield group, longest


def _membership(ids: Collection[int], vocabulary: int, device: Any) -> Tensor:
    """A bool table [vocabulary], true at `ids`."""
    table = torch.zeros(vocabulary, dtype=torch.bool, device=device)
    table[[id for id in ids if id < vocabulary]] = True
    return table
