"""Progress of a run: what is being done, how far it is, and about how long the stage will still take at its own pace.

Nothing is said of the stages that follow: how long they take is not known before they run.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn
from rich.text import Text

from scdpo.run.pace import Pace

SECONDS_BETWEEN_LINES = 10.0


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
        self.last_line = 0.0
        self.bars: Progress | None = None

    def begin(self, stage: str, unit: str, tasks: Iterable[tuple[str, int]], done: int) -> None:
        self.unit = unit
        self.made, self.total = done, done
        self.unsized: set[int] = set()
        self.running: dict[int, int] = {}
        names: dict[str, None] = {}
        for task, (name, size) in enumerate(tasks):
            names[name] = None
            self.total += size
            if not size:
                self.unsized.add(task)
        self.last_line = time.monotonic()
        self.pace = Pace(self.last_line)
        self.title = self._title(stage)
        if self.console.is_terminal:
            self.bars = Progress(
                SpinnerColumn(),
                TextColumn("[bold]{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeLeft(self),
                console=self.console,
                transient=True,
            )
            self.bars.start()
            self.bar = self.bars.add_task(f"{self.title} ({unit})", total=self.total or None, completed=done)
        else:
            amount = f", {self.total} {unit}" if self.total else ""
            resumed = f", {done} of them done before" if done else ""
            self.console.print(f"{self.title}: {', '.join(names)}{amount}{resumed}")

    def update(self, task: int, done: int, total: int) -> None:
        now = time.monotonic()
        more = done - self.running.pop(task, 0)
        self.made += more
        if task in self.unsized:  # a training, whose first steps may be those of an earlier session: they took no time
            self.unsized.remove(task)
            self.total += total
        else:
            self.pace.add(now, more)
        if done < total:  # of finished tasks there is nothing to hold
            self.running[task] = done
        if self.bars is not None:
            self.bars.update(self.bar, completed=self.made, total=self.total)
        elif now - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = now
            left = self.left(now)
            self.console.print(f"{self.title}: {self.made} of {self.total} {self.unit}" + (f", {left}" if left else ""))

    def end(self, stage: str, seconds: float, note: str) -> None:
        self.stop()
        gap = "\n\n" if "\n" in note else " "
        self.console.print(f"{self._title(stage)}: {seconds:.0f} s;{gap}{note}", markup=False)

    def stop(self) -> None:
        if self.bars is not None:
            self.bars.stop()
            self.bars = None

    def _title(self, stage: str) -> str:
        name, _, number = stage.partition(".")
        return f"{self.stages.index(stage) + 1}/{len(self.stages)} {name}" + (f", round {number}" if number else "")

    def left(self, now: float) -> str:
        """The time left in this stage, or in those of its tasks that have begun where the others' sizes are not known yet."""
        seconds = self.pace.seconds_left(now, self.total - self.made)
        if seconds is None:
            return ""
        waiting = len(self.unsized)
        return f"about {_duration(seconds)} left" + (f" of what has begun, {waiting} more to come" if waiting else "")


class TimeLeft(ProgressColumn):
    """The time left, looked at anew whenever the bar is drawn: it also falls while nothing ends."""

    def __init__(self, display: ProgressDisplay) -> None:
        super().__init__()
        self.display = display

    def render(self, task: Task) -> Text:
        return Text(self.display.left(time.monotonic()))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
