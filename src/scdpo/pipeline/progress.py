"""Progress of a run: what is being done, how far it is, and about how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

# The stages' shares of a run's time, as measured on the quickstart (docs/quickstart.md); they weigh the estimate.
SHARES = {"sft": 24, "sample": 17, "fork": 13, "train": 25, "evaluate": 7, "credit": 6, "temperature": 6, "report": 2}
# In later rounds, which draw no samples for equal data, and train and evaluate one model.
LATER_SHARES = SHARES | {"fork": 10, "train": 12, "evaluate": 2}
SECONDS_BETWEEN_LINES = 10.0
# A stage's pace is told once so much of its work is done, or after so many seconds: the first to end of many are no measure.
PACE_SHARE, PACE_SECONDS = 0.03, 300.0


class Watcher(Protocol):
    """What a stage tells of its progress."""

    def begin(self, stage: str, unit: str, tasks: Iterable[tuple[str, int]], done: int) -> None:
        """A stage starts: its tasks with their sizes in `unit`s, `done` of which an earlier session has done."""

    def update(self, task: int, done: int, total: int) -> None:
        """A task of the stage has done `done` of `total`."""

    def end(self, stage: str, seconds: float, note: str) -> None:
        """A stage is over, whether it had anything to do or not."""

    def stop(self) -> None:
        """No more will come of the stage: give the terminal back."""


class ProgressDisplay:
    """A bar in a terminal, a line now and then elsewhere. stages: all that this command is to do, in order."""

    def __init__(self, console: Console, stages: Sequence[str]) -> None:
        self.console, self.stages = console, list(stages)
        self.finished: list[str] = []
        self.spent = 0.0
        self.stage, self.began, self.last_line = "", 0.0, 0.0
        self.bars: Progress | None = None

    def begin(self, stage: str, unit: str, tasks: Iterable[tuple[str, int]], done: int) -> None:
        self.stage, self.unit, self.before = stage, unit, done
        self.made, self.total = done, done
        self.unsized: set[int] = set()
        self.running: dict[int, int] = {}
        names: dict[str, None] = {}
        for task, (name, size) in enumerate(tasks):
            names[name] = None
            self.total += size
            if not size:
                self.unsized.add(task)
        self.began = self.last_line = time.monotonic()
        self.title = self._title(stage)
        if self.console.is_terminal:
            self.bars = Progress(
                SpinnerColumn(),
                TextColumn("[bold]{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}"),
                console=self.console,
                transient=True,
            )
            self.bars.start()
            self.bar = self.bars.add_task(f"{self.title} ({unit})", total=self.total or None, completed=done, left="")
        else:
            amount = f", {self.total} {unit}" if self.total else ""
            resumed = f", {done} of them done before" if done else ""
            self.console.print(f"{self.title}: {', '.join(names)}{amount}{resumed}")

    def update(self, task: int, done: int, total: int) -> None:
        if task in self.unsized:
            self.unsized.remove(task)
            self.total += total
        self.made += done - self.running.pop(task, 0)
        if done < total:  # of finished tasks there is nothing to hold
            self.running[task] = done
        now = time.monotonic()
        if self.bars is not None:
            self.bars.update(self.bar, completed=self.made, total=self.total, left=self._left(now))
        elif now - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = now
            left = self._left(now)
            self.console.print(f"{self.title}: {self.made} of {self.total} {self.unit}" + (f", {left}" if left else ""))

    def end(self, stage: str, seconds: float, note: str) -> None:
        self.stop()
        self.spent += seconds
        self.finished.append(stage)
        gap = "\n\n" if "\n" in note else " "
        self.console.print(f"{self._title(stage)}: {seconds:.0f} s;{gap}{note}", markup=False)

    def stop(self) -> None:
        if self.bars is not None:
            self.bars.stop()
            self.bars = None

    def _title(self, stage: str) -> str:
        name, _, number = stage.partition(".")
        return f"{self.stages.index(stage) + 1}/{len(self.stages)} {name}" + (f", round {number}" if number else "")

    def _left(self, now: float) -> str:
        """The time left in this stage, from its own pace, and in the whole command, from the stages' usual shares."""
        elapsed, made = now - self.began, self.made - self.before
        if not made or (made < PACE_SHARE * (self.total - self.before) and elapsed < PACE_SECONDS):
            return ""
        stage_left = elapsed * (self.total - self.made) / made
        stage_whole = elapsed + stage_left
        share_known = sum(map(_share, (*self.finished, self.stage)))
        later = self.stages[self.stages.index(self.stage) + 1 :]
        rest = (self.spent + stage_whole) / share_known * sum(map(_share, later))
        everything = f", about {_duration(stage_left + rest)} in all" if later else ""
        return f"about {_duration(stage_left)} left{everything}"


def _share(stage: str) -> int:
    """A stage's share by its name in the manifest: "sample", and "sample.2" in round 2."""
    name, _, number = stage.partition(".")
    return (LATER_SHARES if number else SHARES)[name]


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
