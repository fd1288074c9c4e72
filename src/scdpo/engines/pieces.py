"""A request that is answered piece by piece, for engines that cannot ramp or stop inside one call.

A piece is generated at one temperature and ends where the next id would be drawn at another, or where the request's `stop` must
be asked. An engine that ramps by itself needs pieces for `stop` alone. Whatever an engine generated beyond such a place is cut
off, so the completion is the same whether it stopped there or not. Knows no engine, no server and no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scdpo.engines.interface import Completion, Generate
from scdpo.seeds import derive_seed
from scdpo.solutions.step_count import steps_before


@dataclass(frozen=True, slots=True)
class Landmarks:
    """The ids that matter to an engine: those that end a solution, those that end a step, those at which `stop` is asked.

    ramps: whether the engine changes the temperature itself, so that steps end no piece.
    """

    end_ids: frozenset[int]
    step_end_ids: frozenset[int] = frozenset()
    stop_ids: frozenset[int] = frozenset()
    ramps: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """What an engine is to generate next: after `ids`, until one of `stop_ids`, it included, or for `max_new_tokens`.

    stop_ids: the end ids among them; step: steps generated so far, for engines that ramp; inside: whether a step has begun.
    """

    ids: tuple[int, ...]
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int
    stop_ids: frozenset[int]
    step: int
    inside: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What an engine generated for a piece, with log p at temperature 1 of each id.

    finish: "end" where it says that the solution ended and its ids do not show it; "stop" at an id of any kind; "length" at
    max_new_tokens, or because the engine can hold no more.
    """

    ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    finish: Literal["end", "stop", "length"]


@dataclass(frozen=True, slots=True)
class Progress:
    """A request with what was generated for it so far."""

    request: Generate
    ids: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()

    def next_piece(self, marks: Landmarks) -> Piece:
        """The piece that is owed."""
        request = self.request
        step = request.step + steps_before(self.ids, marks.step_end_ids)[-1]
        stop_ids = marks.end_ids
        if request.stop is not None:
            stop_ids |= marks.stop_ids
        if not (marks.ramps or request.temperature.is_constant_from(step)):
            stop_ids |= marks.step_end_ids
        return Piece(
            ids=request.ids + self.ids,
            temperature=round(request.temperature.at(step), 6),
            top_p=request.top_p,
            max_new_tokens=request.max_new_tokens - len(self.ids),
            seed=derive_seed(request.seed, "piece", len(self.ids)) if self.ids else request.seed,
            stop_ids=stop_ids,
            step=step,
            inside=bool(self.ids) and self.ids[-1] not in marks.step_end_ids,
        )

    def take(self, answer: Answer, marks: Landmarks) -> Progress | Completion:
        """The request with the answer to its piece: more of it, or all."""
        request = self.request
        room = request.max_new_tokens - len(self.ids)
        ids = self.ids + answer.ids[:room]
        steps = steps_before(ids, marks.step_end_ids)
        for place in range(len(self.ids), len(ids)):
            id, behind = ids[place], place + 1
            if id in marks.end_ids:
                return self._with(answer, place).completion(marks, "end")
            if request.stop is not None and id in marks.stop_ids and request.stop(ids[:behind]):
                return self._with(answer, behind).completion(marks, "stop")
            if not marks.ramps and self._temperature(steps[behind]) != self._temperature(steps[place]):
                grown = self._with(answer, behind)
                return grown if behind < request.max_new_tokens else grown.completion(marks, "length")
        grown = self._with(answer, len(ids))
        if answer.finish == "end" and len(answer.ids) <= room:
            return grown.completion(marks, "end")
        if answer.finish == "length" or len(ids) >= request.max_new_tokens or not answer.ids:
            return grown.completion(marks, "length")
        return grown

    def completion(self, marks: Landmarks, finish: Literal["end", "stop", "length"]) -> Completion:
        """The whole, with the temperature of each id."""
        steps: Sequence[int] = steps_before(self.ids, marks.step_end_ids)[: len(self.ids)]
        return Completion(self.ids, tuple(self._temperature(step) for step in steps), self.log_probs, finish)

    def _temperature(self, steps: int) -> float:
        return round(self.request.temperature.at(self.request.step + steps), 6)

    def _with(self, answer: Answer, length: int) -> Progress:
        """This with the answer's first ids, `length` ids in all."""
        count = length - len(self.ids)
        return replace(self, ids=self.ids + answer.ids[:count], log_probs=self.log_probs + answer.log_probs[:count])
