"""The rows in flight: their tokens, ramps and lengths on the device, and on the host what is decided by.

A decoding step reads and writes the device's side alone, in place, at addresses that stay. One `look` brings the host's side
up to it, however many steps lie between. Knows no model, no keys and values, and not who waits for a row.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scdpo.engines.draw import draw, draws_of
from scdpo.engines.interface import Generate


@dataclass(frozen=True, slots=True)
class StepShape:
    """All that decides what a decoding step computes, apart from the numbers in its tensors.

    rows: the first so many; width: places that each looks back on; has_top_p, any_greedy, any_drawn: as in `draw`.
    """

    rows: int
    width: int
    has_top_p: bool
    any_greedy: bool
    any_drawn: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What the host found: rows that drew an end id, whose `stop` is to be asked, that reached their limit. Each [rows]."""

    ended: np.ndarray
    asks: np.ndarray
    full: np.ndarray


@dataclass(frozen=True, slots=True)
class Marks:
    """Bool tables [vocabulary]: the ids that end a solution, that end a step, and at which a request's `stop` is asked."""

    ends: Any
    step_ends: Any
    stops: Any

    @classmethod
    def of(cls, ends: Collection[int], step_ends: Collection[int], stops: Collection[int], vocabulary: int) -> Marks:
        tables = np.zeros((3, vocabulary), dtype=bool)
        for table, ids in zip(tables, (ends, step_ends, stops), strict=True):
            table[[id for id in ids if id < vocabulary]] = True
        return cls(*tables)

    def on(self, device: torch.device) -> Marks:
        return Marks(*(torch.from_numpy(table).to(device) for table in (self.ends, self.step_ends, self.stops)))


class RowState:
    """The state of `rows` rows of at most `capacity` tokens.

    Behind the last token of a row there is a place for what is not to be kept: a row that must not go on is frozen, and writes
    there in each step until the host looks.
    """

    def __init__(self, rows: int, capacity: int, marks: Marks, device: torch.device) -> None:
        self.device, self.known_marks, self.marks = device, marks, marks.on(device)
        self.is_marked = marks.ends | marks.stops
        table = (rows, capacity + 1)
        self.ids = torch.zeros(table, dtype=torch.long, device=device)
        self.draws = torch.zeros(table, dtype=torch.float64, device=device)
        self.temperatures, self.log_probs = torch.zeros(table, device=device), torch.zeros(table, device=device)
        self.rates = torch.zeros(rows, 4, dtype=torch.float64, device=device)  # start, increment, maximum, top-p
        self.counts = torch.zeros(5, rows, dtype=torch.long, device=device)
        self.flags = torch.zeros(3, rows, dtype=torch.bool, device=device)
        self.last, self.lengths, self.prompts, self.limits, self.steps = (self.counts[kind] for kind in range(5))
        self.in_step, self.has_stop, self.alive = (self.flags[kind] for kind in range(3))
        self.asked = np.full((rows, capacity), -1)  # prompts
        self.known = np.zeros((4, rows), dtype=np.int64)
        self.known_lengths, self.known_prompts, self.known_limits, self.known_has_stop = self.known
        self.begun: dict[int, Generate] = {}

    def clear(self) -> None:
        """Be as new, at the same addresses."""
        for held in (self.ids, self.draws, self.temperatures, self.log_probs, self.rates, self.counts, self.flags):
            held.zero_()
        self.rates[:, 3] = 1.0
        self.asked.fill(-1)
        self.known.fill(0)
        self.begun = {}

    def begin(self, row: int, request: Generate, computed: int) -> None:
        """Set `row` to a request of whose prompt `computed` tokens are in the store; the rest it reads as if it drew it. The
        device hears of it with the next `write`."""
        length = len(request.ids)
        self.asked[row, :length], self.asked[row, length:] = request.ids, -1
        self.known[:, row] = (
            min(computed, length - 1) + 1,
            length,
            length + request.max_new_tokens,
            request.stop is not None,
        )
        self.begun[row] = request

    def write(self) -> None:
        """Tell the device of the rows that have begun, all at once."""
        if not self.begun:
            return
        rows, requests = list(self.begun), list(self.begun.values())
        counts = np.vstack((self.known[:3, rows], [request.step for request in requests]))
        flags = np.vstack((np.zeros(len(rows)), self.known_has_stop[rows])) > 0
        ramps = [request.temperature for request in requests]
        rates = [
            (ramp.start, ramp.increment, ramp.maximum, request.top_p) for ramp, request in zip(ramps, requests, strict=True)
        ]
        draws = np.zeros((len(rows), int(self.known_limits[rows].max())))
        for own, request in zip(draws, requests, strict=True):
            length = len(request.ids)
            own[length : length + request.max_new_tokens] = draws_of(request.seed, request.max_new_tokens)
        longest = int(self.known_prompts[rows].max())
        chosen = self._sent(np.array(rows))
        self.ids[chosen, :longest] = self._sent(self.asked[rows, :longest])
        self.draws[chosen, : draws.shape[1]] = self._sent(draws)
        self.rates[chosen] = self._sent(np.array(rates, dtype=np.float64))
        self.counts[1:, chosen] = self._sent(counts)
        self.flags[:2, chosen] = self._sent(flags)
        self.begun = {}

    def reorder(self, order: Sequence[int]) -> dict[int, int]:
        """Row n is from now on what row order[n] was; nothing of the others is kept. Who moves must not give its place to one
        that moves. Returns the rows that changed, with what they were."""
        moved = {new: old for new, old in enumerate(order) if new != old}
        self.begun = {new: self.begun[old] for new, old in enumerate(order) if old in self.begun}
        if moved:
            rows = np.array((tuple(moved), tuple(moved.values())))
            self.asked[rows[0]] = self.asked[rows[1]]
            self.known[:, rows[0]] = self.known[:, rows[1]]
            new, old = self._sent(rows)
            for table in (self.ids, self.draws, self.temperatures, self.log_probs, self.rates):
                table[new] = table[old]
            for vectors in (self.counts, self.flags):
                vectors[:, new] = vectors[:, old]
        return moved

    def has_read(self, rows: Sequence[int], chosen: Tensor, counts: Tensor, known_counts: np.ndarray) -> None:
        """So many tokens more of the prompts of some rows are computed; both as the device and as the host has them."""
        self.lengths[chosen] += counts
        self.known_lengths[rows] += known_counts

    def wake(self, count: int) -> None:
        """The first `count` rows go on, the others are frozen."""
        self.alive[:count], self.alive[count:] = True, False

    def append(self, shape: StepShape, logits: Tensor, can_freeze: bool) -> None:
        """Draw the next token of the first rows from their logits [rows, vocabulary] and write it down.

        can_freeze: rows that are not alive stay as they are, and who reaches an end is not alive any more.
        """
        rows, logits = slice(0, shape.rows), logits.float()
        start, increment, maximum, top_p = self.rates[rows].unbind(1)
        temperature = torch.minimum(start + increment * self.steps[rows], maximum)
        places = self.lengths[rows]
        given = places < self.prompts[rows]  # of a prompt that is read one by one
        numbers = self.draws[rows].gather(1, places[:, None])[:, 0]
        tokens = draw(logits, temperature, top_p if shape.has_top_p else None, numbers, shape.any_greedy, shape.any_drawn)
        tokens = torch.where(given, self.ids[rows].gather(1, places[:, None])[:, 0], tokens)
        log_probs = torch.log_softmax(logits, dim=-1).gather(1, tokens[:, None])
        self.ids[rows].scatter_(1, places[:, None], tokens[:, None])
        self.temperatures[rows].scatter_(1, places[:, None], temperature[:, None].float())
        self.log_probs[rows].scatter_(1, places[:, None], log_probs)
        ends = self.marks.step_ends[tokens]
        if not can_freeze:
            self.last[rows] = tokens
            self.lengths[rows] += 1
            self.steps[rows] += ends & self.in_step[rows] & ~given
            self.in_step[rows] = ~ends & ~given
            return
        alive = self.alive[rows]
        self.last[rows] = torch.where(alive, tokens, self.last[rows])
        self.lengths[rows] += alive
        self.steps[rows] += ends & self.in_step[rows] & ~given & alive
        self.in_step[rows] = torch.where(alive, ~ends & ~given, self.in_step[rows])
        asks = self.marks.ends[tokens] | (self.marks.stops[tokens] & self.has_stop[rows])
        self.alive[rows] = alive & ~(asks & ~given) & (self.lengths[rows] < self.limits[rows])

    def look(self, count: int) -> Look | None:
        """Wait for what the device has to do; one transfer tells how long the first `count` rows are and what has ended. None
        where there is nothing to be done for any row."""
        last, lengths = self.counts[:2, :count].cpu().numpy()
        self.known_lengths[:count] = lengths
        full = lengths >= self.known_limits[:count]
        if not (full | self.is_marked[last]).any():
            return None
        has_drawn = lengths > self.known_prompts[:count]
        ended = self.known_marks.ends[last] & has_drawn
        asks = self.known_marks.stops[last] & has_drawn & ~ended & (self.known_has_stop[:count] > 0)
        return Look(ended, asks, full)

    def fetch(self, table: Tensor, rows: Sequence[int]) -> np.ndarray:
        """Some rows of a table, as far as the longest of them reaches, in one transfer."""
        longest = int(self.known_lengths[rows].max())
        return table[self._sent(np.array(rows)), :longest].cpu().numpy()

    def _sent(self, held: np.ndarray) -> Tensor:
        return torch.from_numpy(held).to(self.device)
