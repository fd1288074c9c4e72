"""What a run says of the time it will still take."""

import io

import pytest
from rich.console import Console

from scdpo.run import progress
from scdpo.run.progress import ProgressDisplay


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def written():
    return io.StringIO()


@pytest.fixture
def display(written):
    """Of a command of three stages, in which the others have nothing to do with the time left in one."""
    return ProgressDisplay(Console(file=written, width=200), ["sft", "train", "evaluate"])


def test_the_time_left_is_told_when_there_is_a_pace(clock, display, written):
    """A thousand answers in two blocks, one a second; a hundred of an earlier session are not part of the pace."""
    display.begin("evaluate", "answers", [("sft", 500), ("scdpo", 500)], 100)
    for answer in range(1000):
        clock.now += 1
        display.update(answer // 500, answer % 500 + 1, 500)
    start, *lines, _ = written.getvalue().splitlines()
    assert start == "3/3 evaluate: sft, scdpo, 1100 answers, 100 of them done before"
    assert lines[:2] == [f"3/3 evaluate: {done} of 1100 answers" for done in (110, 120)]
    assert lines[3] == "3/3 evaluate: 140 of 1100 answers, about 16 min left"
    assert lines[-1] == "3/3 evaluate: 1090 of 1100 answers, about 10 s left"


def test_an_earlier_sessions_steps_are_no_pace(clock, display, written):
    """A training that goes on from its checkpoint begins at step 751; it does a step a second."""
    display.begin("sft", "steps", [("sft", 0)], 0)
    for step in range(751, 800):
        clock.now += 1
        display.update(0, step, 1000)
    assert written.getvalue().splitlines()[-1] == "1/3 sft: 790 of 1000 steps, about 4 min left"


def test_what_has_not_begun_is_named(clock, display, written):
    """Two trainings at once and two that follow, of which nobody knows yet how many steps they have."""
    display.begin("train", "steps", [(arm, 0) for arm in ("scdpo", "dpo", "dpo-data-equal", "rft")], 0)
    for step in range(60):
        clock.now += 1
        display.update(0, step + 1, 100)
        display.update(1, step + 1, 100)
    line = written.getvalue().splitlines()[-1]
    assert line.startswith("2/3 train: 119 of 200 steps, about 41 s left of what has begun, 2 more to come")


def test_a_terminal_counts_down_while_nothing_ends(clock, written):
    display = ProgressDisplay(Console(file=written, width=200, force_terminal=True), ["sft"])
    display.begin("sft", "steps", [("sft", 400)], 0)
    for step in range(10):
        clock.now += 10
        display.update(0, step + 1, 400)
    assert display.left(clock.now) == "about 65 min left"
    assert display.left(clock.now + 8) != ""
    display.end("sft", 100.0, "done")
    assert "about 65 min left" in written.getvalue()
