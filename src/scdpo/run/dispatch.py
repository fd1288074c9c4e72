"""Who gets which task, where those who work come and go: tasks in as there is room, results out in the tasks' order.

What a lost member had in hand is the next to be given out, so each task ends exactly once. Knows no Ray and no stage.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from scdpo.errors import RunError

AHEAD = 2
"""How many tasks are in hand for each that runs: those that run, and finished ones that wait for an earlier one."""
LOST = object()
"""The outcome of a task whose member is gone."""
MOST_LOSSES = 3


class Crew(Protocol):
    """Those who work, one task at a time each; how many they are changes."""

    @property
    def free(self) -> int:
        """How many members wait for a task."""

    def room(self) -> int:
        """How many tasks further to those at work are worth having in hand: for the free members and for new ones, at least
        for one that comes when room is found."""

    def start(self, tasks: int) -> None:
        """See to it that as many members are free or on their way, as far as there is room."""

    def give(self, index: int, task: tuple) -> None:
        """A task for a free member."""

    def wait(self) -> list[tuple[int, Any]]:
        """Wait a moment; (index, outcome) of the tasks that are over: a result, or LOST. Raises what a task raised."""


def dispatch(tasks: Iterable[tuple], crew: Crew) -> Iterator[Any]:
    """The tasks' results, in their order. Held are only tasks in hand and results that wait for an earlier one.

    Raises RunError where a task's member is lost again and again.
    """
    rest = enumerate(tasks)
    in_hand: list[tuple[int, tuple]] = []  # a heap: the earliest, which others wait for, goes out first
    at_work: dict[int, tuple] = {}
    done: dict[int, Any] = {}
    losses: Counter[int] = Counter()
    turn = taken = 0
    while True:
        room = crew.room()
        while len(in_hand) < room and taken - turn < AHEAD * (len(at_work) + room) and (new := next(rest, None)):
            heapq.heappush(in_hand, new)
            taken += 1
        if not in_hand and not at_work:
            return
        crew.start(len(in_hand))
        while in_hand and crew.free:
            index, task = heapq.heappop(in_hand)
            at_work[index] = task
            crew.give(index, task)
        for index, outcome in crew.wait():
            task = at_work.pop(index)
            if outcome is not LOST:
                done[index] = outcome
                continue
            losses[index] += 1
            if losses[index] == MOST_LOSSES:
                raise RunError(
                    f"a block of problems ended its Ray actor {MOST_LOSSES} times (out of memory?); run the same command again "
                    "to continue, with fewer actors at once (--ray.actors N)"
                )
            heapq.heappush(in_hand, (index, task))
        while turn in done:
            yield done.pop(turn)
            turn += 1
