"""The driver: keeps many rollouts in flight over one engine and one sandbox, and refills at once what has finished.

A rollout is a generator that asks (`Generate`, `Execute`) and receives (`Completion`, `Output`); it knows no engine and no
sandbox, and the driver knows nothing of what the rollouts are after.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from scdpo.engines.interface import Completion, Engine, Generate
from scdpo.sandbox.output import Output

T = TypeVar("T")
LAG = 4
"""Advances of the engine for which code may run before anybody waits for it."""


@dataclass(frozen=True, slots=True)
class Execute:
    """Run a block of code in the rollout's session; `fresh` begins a new one."""

    code: str
    fresh: bool


Rollout = Generator[Generate | Execute, Any, T]


class CodeRunner(Protocol):
    """What the driver needs of a sandbox (see sandbox/sandbox.py)."""

    @property
    def most_sessions(self) -> int: ...

    def submit(self, ticket: Any, session: int, code: str) -> None: ...

    def poll(self, seconds: float | None = 0.0) -> list[tuple[Any, Output]]: ...

    def close(self, session: int) -> None: ...


def drive(
    rollouts: Iterable[Rollout[T]], engine: Engine, in_flight: int, sandbox: CodeRunner | None = None
) -> Iterator[tuple[int, T]]:
    """Run the rollouts, at most `in_flight` at once; yields (index, result) as they end.

    The order of requests depends only on the rollouts and the answers, so equal input gives equal output: what code printed is
    handed over LAG advances of the engine after it was asked for (or once the engine has nothing to do), in the order of
    asking, however long each block took. A rollout has one session at a time, which ends with it.
    """
    pending = enumerate(rollouts)
    running: dict[int, Rollout[T]] = {}
    executing: deque[tuple[int, int]] = deque()  # (the advance at which the output is due, rollout)
    outputs: dict[int, Output] = {}
    generating = advances = 0

    def ask(index: int, answer: Completion | Output | None) -> list[tuple[int, T]]:
        nonlocal generating
        try:
            request = next(running[index]) if answer is None else running[index].send(answer)
        except StopIteration as stop:
            del running[index]
            if sandbox is not None:
                sandbox.close(index)
            return [(index, stop.value)]
        if isinstance(request, Generate):
            engine.submit(index, request)
            generating += 1
        else:
            assert sandbox is not None, "a rollout runs code, and there is no sandbox"
            if request.fresh:
                sandbox.close(index)
            sandbox.submit(index, index, request.code)
            executing.append((advances + LAG, index))
        return []

    def output_of(index: int) -> Output:
        assert sandbox is not None
        while index not in outputs:
            outputs.update(sandbox.poll(None))
        return outputs.pop(index)

    try:
        while True:
            while len(running) < in_flight and (started := next(pending, None)) is not None:
                running[started[0]] = started[1]
                yield from ask(started[0], None)
            if not running:
                return
            if generating:
                done = engine.advance()
                advances += 1
                generating -= len(done)
                for index, completion in done:
                    yield from ask(index, completion)
            while executing and (executing[0][0] <= advances or not generating):
                _, index = executing.popleft()
                yield from ask(index, output_of(index))
    finally:  # an error, or nobody who waits
        for index in running:
            if sandbox is not None:
                sandbox.close(index)


def run_all(
    rollouts: Iterable[Rollout[T]],
    engine: Engine,
    in_flight: int,
    report: Callable[[int], None] = lambda done: None,
    sandbox: CodeRunner | None = None,
) -> list[T]:
    """The results of all rollouts, in the rollouts' order; `report` hears how many have ended."""
    results: dict[int, T] = {}
    for index, result in drive(rollouts, engine, in_flight, sandbox):
        results[index] = result
        report(len(results))
    return [results[index] for index in range(len(results))]
