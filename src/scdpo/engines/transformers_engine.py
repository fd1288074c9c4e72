"""The embedded engine: continuous batching over any decoder of transformers, on CPU or one GPU.

Rows of a fixed key-value store hold the requests in flight; a row that ends is given to the next request at once, so no
row waits for the longest, and who asks the same prompt again keeps the row with its prompt computed. A request that stopped is
parked, and goes on from its keys and values when it comes back with the output of its code. The temperature ramp is applied
inside the decoding loop. Draws depend on the request's seed and the logits alone. Knows no text, no problem and no policy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from scdpo.engines.interface import Completion, Generate, refuse_unfit
from scdpo.errors import ModelError

PARKED_SHARE = 4
"""Of so many rows there is one more to park a request that stopped."""
MOST_GIVEN = 32
"""The most ids that a request coming back is given one by one."""


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
        self.model = model.eval()
        self.device = model.device
        vocabulary = model.get_input_embeddings().num_embeddings
        self.is_end = _membership(end_ids, vocabulary, self.device)
        self.is_step_end = _membership(step_end_ids, vocabulary, self.device)
        self.is_stop = _membership(stop_ids, vocabulary, self.device) if stop_ids else None
        self.rows, self.capacity = rows, capacity
        self.slots = range(rows, rows + (max(1, rows // PARKED_SHARE) if stop_ids else 0))
        self.store = RowStore(model.config.get_text_config().num_hidden_layers, rows + len(self.slots), capacity)
        self.reset()

    def reset(self) -> None:
        self.queue: deque[tuple[int, Generate]] = deque()
        self.active: list[tuple[int, Generate]] = []
        self.ended: dict[int, int] = {}
        self.parked: dict[int, Parked] = {}
        self.returning: deque[tuple[int, Generate, Parked]] = deque()
        self.free_slots = list(self.slots)
        state = {"device": self.device}
        self.ids = torch.zeros(self.rows, self.capacity, dtype=torch.long, **state)
        self.draws = torch.zeros(self.rows, self.capacity, dtype=torch.float64, **state)
        self.temperatures = torch.zeros(self.rows, self.capacity, **state)
        self.log_probs = torch.zeros(self.rows, self.capacity, **state)
        self.lengths = torch.zeros(self.rows, dtype=torch.long, **state)
        self.prompts = torch.zeros(self.rows, dtype=torch.long, **state)
        self.limits = torch.zeros(self.rows, dtype=torch.long, **state)
        self.ramps = torch.zeros(self.rows, 3, dtype=torch.float64, **state)
        self.steps = torch.zeros(self.rows, dtype=torch.long, **state)
        self.in_step = torch.zeros(self.rows, dtype=torch.bool, **state)
        self.row_state = (
            self.ids,
            self.draws,
            self.temperatures,
            self.log_probs,
            self.lengths,
            self.prompts,
            self.limits,
            self.ramps,
            self.steps,
            self.in_step,
        )

    def submit(self, ticket: int, request: Generate) -> None:
        refuse_unfit(request, self.capacity)
        parked = self.parked.pop(ticket, None)
        if parked is not None and parked.is_before(request):
            self.returning.append((ticket, request, parked))
            return
        if parked is not None:
            self.free_slots.append(parked.slot)
        row = self.ended.get(ticket)
        if row is not None and self.active[row][1].ids == request.ids:
            del self.ended[ticket]
            self.active[row] = (ticket, request)
            self._begin(row, request)
            return
        self.queue.append((ticket, request))

    @torch.inference_mode()
    def advance(self) -> list[tuple[int, Completion]]:
        """Fill free rows where that is worth a forward pass, then decode one token in every row."""
        self._close_gaps()
        while self.returning and len(self.active) < self.rows:
            self._resume(*self.returning.popleft())
        free = self.rows - len(self.active)
        if self.queue and (free >= max(1, self.rows // 8) or not self.active):
            self._admit(min(free, len(self.queue)))
            return self._finished()
        if not self.active:
            return []
        count = len(self.active)
        places = self.lengths[:count] - 1
        tokens = self.ids[:count].gather(1, places[:, None])
        width = int(self.lengths[:count].max())
        visible = torch.arange(width, device=self.device)[None, :] <= places[:, None]
        self.store.at(torch.arange(count, device=self.device), places, width)
        states = self._hidden(tokens, places[:, None], visible[:, None, None, :])
        self._append(slice(0, count), self.model.get_output_embeddings()(states[:, -1]))
        return self._finished()

    def _admit(self, count: int) -> None:
        """Compute `count` waiting prompts into free rows and sample the first token of each."""
        first = len(self.active)
        arrivals = [self.queue.popleft() for _ in range(count)]
        self.active.extend(arrivals)
        rows = slice(first, first + count)
        width = max(len(request.ids) for _, request in arrivals)
        for row, (_, request) in enumerate(arrivals, start=first):
            self.ids[row, : len(request.ids)] = torch.tensor(request.ids)
            self._begin(row, request)
        positions = torch.arange(width, device=self.device)
        causal = (positions[None, :] <= positions[:, None]).expand(count, 1, width, width)
        self.store.fill(rows, width)
        states = self._hidden(self.ids[rows, :width], positions.expand(count, width), causal)
        last = states[torch.arange(count, device=self.device), self.lengths[rows] - 1]
        self._append(rows, self.model.get_output_embeddings()(last))

    def _resume(self, ticket: int, request: Generate, parked: Parked) -> None:
        """Go on with a parked request: the ids that it was given behind its own are read one by one, as if it drew them."""
        row = len(self.active)
        self.active.append((ticket, request))
        self.ids[row, : len(request.ids)] = torch.tensor(request.ids)
        self._begin(row, request)
        self.lengths[row] = len(parked.ids)
        self.store.move(parked.slot, row, len(parked.ids))
        self.free_slots.append(parked.slot)

    def _park(self, row: int) -> None:
        """Keep the keys and values of a row that stopped; the oldest parked ones give way."""
        ticket, length = self.active[row][0], int(self.lengths[row])
        if not self.free_slots and self.parked:
            self.free_slots.append(self.parked.pop(next(iter(self.parked))).slot)
        if self.free_slots:
            slot = self.free_slots.pop()
            self.parked[ticket] = Parked(slot, tuple(self.ids[row, :length].tolist()))
            self.store.move(row, slot, length)

    def _begin(self, row: int, request: Generate) -> None:
        """Set `row` to the end of the request's prompt."""
        length, ramp = len(request.ids), request.temperature
        draws = np.random.Generator(np.random.Philox(key=request.seed)).random(request.max_new_tokens)
        self.draws[row, length : length + len(draws)] = torch.from_numpy(draws)
        self.ramps[row] = torch.tensor((ramp.start, ramp.increment, ramp.maximum), dtype=torch.float64)
        self.lengths[row] = self.prompts[row] = length
        self.limits[row] = length + request.max_new_tokens
        self.steps[row], self.in_step[row] = request.step, False

    def _hidden(self, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        return self.model.get_decoder()(
            input_ids=ids, position_ids=positions, attention_mask=mask, past_key_values=self.store, use_cache=True
        ).last_hidden_state

    def _append(self, rows: slice, logits: Tensor) -> None:
        """Draw the next token of each row from its logits [rows, vocabulary] and write it down."""
        logits = logits.float()
        start, increment, maximum = self.ramps[rows].unbind(1)
        temperature = torch.minimum(start + increment * self.steps[rows], maximum)
        places = self.lengths[rows]
        given = places < self.prompts[rows]  # ids behind a resumed row's own
        greedy = temperature == 0
        scaled = logits / torch.where(greedy, 1.0, temperature)[:, None].float()
        cumulative = torch.softmax(scaled, dim=-1, dtype=torch.float64).cumsum(dim=-1)
        draws = self.draws[rows].gather(1, places[:, None]) * cumulative[:, -1:]
        drawn = torch.searchsorted(cumulative, draws, right=True)[:, 0].clamp(max=logits.shape[1] - 1)
        tokens = torch.where(greedy, logits.argmax(dim=-1), drawn)
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
    """A request that stopped: the slot of the store that keeps it, and its ids, prompt included."""

    slot: int
    ids: tuple[int, ...]

    def is_before(self, request: Generate) -> bool:
        """Whether the request goes on from these ids, with few more: many are faster computed anew, all at once."""
        more = len(request.ids) - len(self.ids)
        return 0 <= more <= MOST_GIVEN and request.ids[: len(self.ids)] == self.ids


class RowStore(Cache):
    """Keys and values of [rows, capacity] tokens, in which every row stands at a place of its own."""

    def __init__(self, layers: int, rows: int, capacity: int) -> None:
        self.row_layers = [RowLayer(rows, capacity) for _ in range(layers)]
        super().__init__(layers=list(self.row_layers))

    def fill(self, rows: slice, width: int) -> None:
        """The next forward pass writes whole prompts, from place 0, into `rows`."""
        for layer in self.row_layers:
            layer.target = (rows, None, width)

    def at(self, rows: Tensor, places: Tensor, width: int) -> None:
        """The next forward pass writes one token a row at `places` and reads the first `width` places."""
        for layer in self.row_layers:
            layer.target = (rows, places, width)

    def move(self, source: int, row: int, length: int) -> None:
        """Copy the first `length` places of a row to another."""
        for layer in self.row_layers:
            layer.keys[row, :, :length] = layer.keys[source, :, :length]
            layer.values[row, :, :length] = layer.values[source, :, :length]


class RowLayer(CacheLayerMixin):
    """One layer of a RowStore."""

    is_sliding = False
    keys: Tensor
    values: Tensor

    def __init__(self, rows: int, capacity: int) -> None:
        super().__init__()
        self.rows, self.capacity = rows, capacity
        self.target: tuple[Any, Tensor | None, int] = (slice(0), None, 0)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        shape = (self.rows, key_states.shape[1], self.capacity)
        self.keys = key_states.new_zeros(*shape, key_states.shape[3])
        self.values = value_states.new_zeros(*shape, value_states.shape[3])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, places, width = self.target
        if places is None:
            self.keys[rows, :, :width], self.values[rows, :, :width] = key_states, value_states
            return key_states, value_states
        self.keys[rows, :, places], self.values[rows, :, places] = key_states[:, :, 0], value_states[:, :, 0]
        count = len(rows)
        return self.keys[:count, :, :width], self.values[:count, :, :width]

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return self.capacity

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.target[2], 0


def _membership(ids: Collection[int], vocabulary: int, device: Any) -> Tensor:
    """A bool table [vocabulary], true at `ids`."""
    table = torch.zeros(vocabulary, dtype=torch.bool, device=device)
    table[[id for id in ids if id < vocabulary]] = True
    return table
