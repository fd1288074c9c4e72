"""How fast grading is, isolation included, against Math-Verify called on the whole text, on one core in one run."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.grading.material import Item
from scdpo.grading.grade import grade
from scdpo.grading.symbolic import SymbolicGrader


@dataclass(frozen=True, slots=True)
class Speed:
    """Answers a second of both graders on the same items, and on how many their verdicts (right or not) agree."""

    name: str
    items: int
    ours: float
    math_verify: float
    agreeing: int

    @property
    def ratio(self) -> float:
        return self.ours / self.math_verify


def measure(name: str, items: Sequence[Item], report: Callable[[int], None] = lambda done: None) -> Speed:
    """Grade `items` by both, each after a warm-up; our symbolic process starts before the clock does and runs on our core."""
    with one_core(), contextlib.closing(SymbolicGrader()) as grader:
        ours_right, ours = _timed(
            lambda item: grade(item.text, item.gold, full_text=True, ask=grader.ask).is_correct, items, report
        )
        peer_right, peer = _timed(by_math_verify, items, report)
    return Speed(name, len(items), ours, peer, sum(a == b for a, b in zip(ours_right, peer_right, strict=True)))


def by_math_verify(item: Item) -> bool:
    """Math-Verify as its documentation says: parse the gold answer and the whole text, then verify."""
    from math_verify import parse, verify

    return verify(parse(f"${item.gold}$"), parse(item.text))


def _timed(judge: Callable[[Item], bool], items: Sequence[Item], report: Callable[[int], None]) -> tuple[list[bool], float]:
    for warm in (Item("x+1", r"so $\boxed{1+x}$"), Item("3", "#### 3"), Item(r"\sqrt{2}", r"$\boxed{\frac{2}{\sqrt{2}}}$")):
        judge(warm)
    verdicts = []
    start = time.perf_counter()
    for item in items:
        verdicts.append(judge(item))
    seconds = time.perf_counter() - start
    report(len(items))
    return verdicts, len(items) / seconds


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Keep this process and those it starts on one core, where the system can; Math-Verify's notices are muted."""
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
