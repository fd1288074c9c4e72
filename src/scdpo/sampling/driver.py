"""The driver: keeps many rollouts in flight over one engine and refills at once what has finished.

A rollout is a generator that asks (`Generate`) and receives (`Completion`); it knows no engine, and the driver knows
nothing of what the rollouts are after.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from scdpo.engines.interface import Completion, Engine, Generate

T = TypeVar("T")
Rollout = Generator[Generate, Completion, T]


def drive(rollouts: Iterable[Rollout[T]], engine: Engine, in_flight: int) -> Iterator[tuple[int, T]]:
    """Run the rollouts, at most `in_flight` at once; yields (index, result) as they end.

    The order of requests depends only on the rollouts and the engine's answers, so equal input gives equal output.
    """
    pending = enumerate(rollouts)
    running: dict[int, Rollout[T]] = {}

    def ask(index: int, answer: Completion | None) -> list[tuple[int, T]]:
        try:
            request = next(running[index]) if answer is None else running[index].send(answer)
        except StopIteration as stop:
            del running[index]
            return [(index, stop.value)]
        engine.submit(index, request)
        return []

    while True:
        while len(running) < in_flight and (started := next(pending, None)) is not None:
            running[started[0]] = started[1]
            yield from ask(started[0], None)
        if not running:
            return
        for index, completion in engine.advance():
            yield from ask(index, completion)


def run_all(
    rollouts: Iterable[Rollout[T]], engine: Engine, in_flight: int, report: Callable[[int], None] = lambda done: None
) -> list[T]:
    """The results of all rollouts, in the rollouts' order; `report` hears how many have ended."""
    results: dict[int, T] = {}
    for index, result in drive(rollouts, engine, in_flight):
        results[index] = result
        report(len(results))
    return [results[index] for index in range(len(results))]
