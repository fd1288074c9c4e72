"""The driver: keeps many rollouts in flight over one engine and one sandbox, and refills at once what has finished.

A rollout is a generator that asks (`Generate`, `Execute`, `Attempt`) and receives; it knows no engine and no sandbox, and the
driver knows nothing of what the rollouts are after.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from scdpo.engines.interface import Engine, Generate
from scdpo.sandbox.output import Output

T = TypeVar("T")
LAG = 4
"""Advances of the engine for which code may run before anybody waits for it."""


@dataclass(frozen=True, slots=True)
class Execute:
    """Run a block of code in the rollout's session; `fresh` begins a new one."""

    code: str
    fresh: bool


@dataclass(frozen=True, slots=True, eq=False)
class Attempts:
    """Attempts at one thing, each a rollout that depends on its number alone, which are wanted in order until one will do.

    make: the rollout of an attempt by its number; limit: no number reaches it; all_wanted: one will not do, each is wanted.
    """

    make: Callable[[int], Rollout[Any]]
    limit: int
    all_wanted: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of attempt `number`: its result, or the exception that ended it."""

    attempts: Attempts
    number: int


Rollout = Generator[Generate | Execute | Attempt, Any, T]


class CodeRunner(Protocol):
    """What the driver needs of a sandbox (see sandbox/sandbox.py)."""

    @property
    def most_sessions(self) -> int: ...

    def submit(self, ticket: Any, session: int, code: str) -> None: ...

    def poll(self, seconds: float | None = 0.0) -> list[tuple[Any, Output]]: ...

    def close(self, session: int) -> None: ...


@dataclass(slots=True, eq=False)
class Line:
    """A rollout or an attempt of one, in flight. ticket: of its requests, and its session's number; one of the attempts that it
    waits for may have it."""

    rollout: Rollout[Any]
    ticket: int
    parent: Line | None = None
    number: int = 0  # of the rollout, or of the attempt
    attempts: Attempts | None = None  # those whose attempt it waits for
    waits_for: int = 0
    asked: int = 0  # how many of these it has waited for
    live: dict[int, Line] = field(default_factory=dict)
    ended: dict[int, Any] = field(default_factory=dict)
    tickets: list[int] = field(default_factory=list)  # that its next attempts may have, the last used one last

    def __post_init__(self) -> None:
        self.tickets.append(self.ticket)

    @property
    def is_wanted(self) -> bool:
        """Whether nobody has dropped it: another answer of the same advance may have."""
        return self.parent is None or (self.parent.live.get(self.number) is self and self.parent.is_wanted)

    @property
    def reach(self) -> range:
        """The attempts that may be made before they are wanted: twice as many as were wanted so far, for who needed many needs
        more. They fill rows that would stand empty, and a step of few rows costs hardly less than one of some more."""
        if self.attempts is None:
            return range(0)
        ahead = self.attempts.limit if self.attempts.all_wanted else self.waits_for + 1 + 2 * self.asked
        return range(self.waits_for + 1, min(ahead, self.attempts.limit))


class Driver:
    """Runs rollouts; see `drive`."""

    def __init__(self, engine: Engine, sandbox: CodeRunner | None) -> None:
        self.engine, self.sandbox = engine, sandbox
        self.numbers = itertools.count()
        self.started: dict[int, Line] = {}
        self.generating: dict[int, Line] = {}
        self.executing: deque[tuple[int, int, Line]] = deque()  # (advance at which the output is due, its number, line)
        self.outputs: dict[int, Output] = {}
        self.advances = 0
        self.results: list[tuple[int, Any]] = []

    def start(self, number: int, rollout: Rollout[Any]) -> None:
        line = self.started[number] = Line(rollout, next(self.numbers), number=number)
        self.send(line, None)

    def send(self, line: Line, answer: Any) -> None:
        """Give a line its answer and take what it asks next."""
        while True:
            try:
                failed = isinstance(answer, Exception)
                request = line.rollout.throw(answer) if failed else line.rollout.send(answer)
            except StopIteration as stop:
                self.end(line, stop.value)
                return
            except Exception as error:
                if line.parent is None:
                    raise
                self.end(line, error)
                return
            if not isinstance(request, Attempt):
                self.drop_attempts(line)
                self.ask(line, request)
                return
            if line.attempts is not request.attempts:
                self.drop_attempts(line)
                line.attempts = request.attempts
            line.waits_for, line.asked = request.number, line.asked + 1
            if request.number not in line.ended:
                if request.number not in line.live:
                    self.attempt(line, request.number)
                return
            answer = line.ended.pop(request.number)

    def ask(self, line: Line, request: Generate | Execute) -> None:
        if isinstance(request, Generate):
            self.engine.submit(line.ticket, request)
            self.generating[line.ticket] = line
            return
        assert self.sandbox is not None, "a rollout runs code, and there is no sandbox"
        if request.fresh:
            self.sandbox.close(line.ticket)
        number = next(self.numbers)
        self.sandbox.submit(number, line.ticket, request.code)
        self.executing.append((self.advances + LAG, number, line))

    def attempt(self, parent: Line, number: int) -> None:
        """Start an attempt. It takes the ticket of one that has ended, whose prompt the engine may still hold."""
        assert parent.attempts is not None
        ticket = parent.tickets.pop() if parent.tickets else next(self.numbers)
        line = parent.live[number] = Line(parent.attempts.make(number), ticket, parent, number)
        self.send(line, None)

    def end(self, line: Line, result: Any) -> None:
        self.drop_attempts(line)
        self.close(line)
        parent = line.parent
        if parent is None:
            del self.started[line.number]
            self.results.append((line.number, result))
            return
        del parent.live[line.number]
        parent.tickets += line.tickets
        parent.ended[line.number] = result
        if line.number == parent.waits_for:
            self.send(parent, parent.ended.pop(line.number))

    def close(self, line: Line) -> None:
        if self.sandbox is not None:
            self.sandbox.close(line.ticket)

    def drop_attempts(self, line: Line) -> None:
        """End the attempts of a line that nobody wants any more."""
        for attempt in line.live.values():
            self.drop_attempts(attempt)
            if self.generating.pop(attempt.ticket, None):
                self.engine.cancel(attempt.ticket)
            self.executing = deque(waiting for waiting in self.executing if waiting[2] is not attempt)
            attempt.rollout.close()
            self.close(attempt)
            line.tickets += attempt.tickets
        line.attempts, line.asked, line.live, line.ended = None, 0, {}, {}

    def waiting(self) -> list[Line]:
        """The lines in flight that may be given attempts ahead, each before those of its own attempts that may."""
        found = []
        stack = list(reversed(self.started.values()))
        while stack:
            line = stack.pop()
            if line.attempts is not None and line.reach:
                found.append(line)
            if line.live:
                stack.extend(reversed(line.live.values()))
        return found

    def look_ahead(self, most: int) -> None:
        """Start attempts that are wanted, or may come to be, while fewer than `most` lines are at work."""
        spare = most - len(self.generating) - len(self.executing)
        if spare <= 0:
            return
        for line in sorted(self.waiting(), key=lambda line: (not (line.attempts and line.attempts.all_wanted), line.asked)):
            for number in line.reach:
                if spare <= 0:
                    return
                if number not in line.live and number not in line.ended:
                    self.attempt(line, number)
                    spare -= 1

    def advance(self) -> None:
        """One advance of the engine, and the outputs that are due after it."""
        if self.generating:
            answered = [(self.generating.pop(ticket), completion) for ticket, completion in self.engine.advance()]
            self.advances += 1
            for line, completion in answered:
                if line.is_wanted:
                    self.send(line, completion)
        while self.executing and (self.executing[0][0] <= self.advances or not self.generating):
            _, number, line = self.executing.popleft()
            self.send(line, self.output(number))

    def output(self, number: int) -> Output:
        assert self.sandbox is not None
        while number not in self.outputs:
            self.outputs.update(self.sandbox.poll(None))
        return self.outputs.pop(number)

    def stop(self) -> None:
        """End all that is in flight."""
        for line in self.started.values():
            self.drop_attempts(line)
            self.close(line)


def drive(
    rollouts: Iterable[Rollout[T]], engine: Engine, in_flight: int, sandbox: CodeRunner | None = None, ahead: int = 0
) -> Iterator[tuple[int, T]]:
    """Run the rollouts, at most `in_flight` at once; yields (index, result) as they end.

    ahead: up to so many requests at once, idle places are filled with attempts that may come to be wanted; the results are the
    same. The order of requests depends only on the rollouts and the answers, so equal input gives equal output: what code
    printed is handed over LAG advances of the engine after it was asked for (or once the engine has nothing to do), in the
    order of asking, however long each block took. A rollout has one session at a time, which ends with it.
    """
    driver = Driver(engine, sandbox)
    pending = enumerate(rollouts)
    has_more = True
    try:
        while True:
            while has_more and len(driver.started) < in_flight:
                started = next(pending, None)
                has_more = started is not None
                if started is not None:
                    driver.start(*started)
            yield from driver.results
            driver.results = []
            if not driver.started and not has_more:
                return
            if not has_more:
                driver.look_ahead(ahead)
            driver.advance()
    finally:  # an error, or nobody who waits
        driver.stop()


def run_all(
    rollouts: Iterable[Rollout[T]],
    engine: Engine,
    in_flight: int,
    report: Callable[[int], None] = lambda done: None,
    sandbox: CodeRunner | None = None,
    ahead: int = 0,
) -> list[T]:
    """The results of all rollouts, in the rollouts' order; `report` hears how many have ended."""
    results: dict[int, T] = {}
    for index, result in drive(rollouts, engine, in_flight, sandbox, ahead):
        results[index] = result
        report(len(results))
    return [results[index] for index in range(len(results))]
