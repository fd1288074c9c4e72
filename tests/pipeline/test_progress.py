"""What a run says of the time it will still take."""

import io

import pytest
from rich.console import Console

from scdpo.pipeline import progress
from scdpo.pipeline.progress import ProgressDisplay


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("done", "seconds", "left"),
    [
        (1, 60, ""),  # one of many says nothing of the pace
        (1, 400, "about 6660 min left"),
        (30, 60, "about 32 min left"),  # 970 are left; what an earlier session did is no measure
        (500, 500, "about 8 min left"),
        (1000, 1000, "about 0 s left"),
    ],
)
def test_the_time_left_is_told_when_there_is_a_pace(clock, done, seconds, left):
    written = io.StringIO()
    display = ProgressDisplay(Console(file=written, width=200), ["evaluate"])
    display.begin("evaluate", "answers", [("sft", 1000)], 100)
    clock.now += seconds
    display.update(0, done, 1000)
    (line,) = written.getvalue().splitlines()[1:]
    assert line == f"1/1 evaluate: {done + 100} of 1100 answers" + (f", {left}" if left else "")
