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

from scdpo.report.result import duration
from scdpo.run.pace import Pace

SECONDS_BETWEEN_LINES = 10.0
PLANNED = ("steps", "micro-batches", "models")
"""The units of tasks that plan their own work."""


class Watcher(Protocol):
    """What a stage tells of its progress."""

    def begin(self, stage: str, unit: str, tasks: Iterable[tuple[str, int]], done: int) -> None:
        """A stage starts: its tasks with their sizes in `unit`s, `done` of which an earlier session has done."""

    def update(self, task: int, done: int, total: int, said: str = "") -> None:
        """A task of the stage has done `done` of `total`; said: more of it, as its loss."""

    def say(self, found: str) -> None:
        """What the stage has found so far, in words."""

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
        self.unheard: set[int] = set()
        self.sizes: dict[int, int] = {}
        self.running: dict[int, int] = {}
        self.called: dict[int, str] = {}
        self.sayings: dict[str, str] = {}
        names: dict[str, None] = {}
        for task, (name, size) in enumerate(tasks):
            names[name] = None
            self.total += size
            if unit in PLANNED:  # their first report may tell of an earlier session's, or another total than was planned
                self.unheard.add(task)
                self.sizes[task], self.called[task] = size, name
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

    def say(self, found: str) -> None:
        self.sayings[""] = found

    def update(self, task: int, done: int, total: int, said: str = "") -> None:
        now = time.monotonic()
        if said:
            self.sayings[self.called.get(task, "")] = said
        more = done - self.running.pop(task, 0)
        self.made += more
        if task in self.unheard:  # its first steps may be those of an earlier session: they took no time
            self.unheard.remove(task)
            self.total += total - self.sizes.pop(task)
        else:
            self.pace.add(now, more)
        if done < total:  # of finished tasks there is nothing to hold
            self.running[task] = done
        if self.bars is not None:
            self.bars.update(self.bar, completed=self.made, total=self.total)
        elif now - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = now
            said = "; ".join(filter(None, (self.left(now), self.said())))
            self.console.print(f"{self.title}: {self.made} of {self.total} {self.unit}" + (f", {said}" if said else ""))

    def said(self) -> str:
        """What the tasks say of themselves."""
        return "; ".join(f"{name} {said}" if name and len(self.called) > 1 else said for name, said in self.sayings.items())

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
        waiting = sum(size == 0 for size in self.sizes.values())
        return f"about {duration(seconds)} left" + (f" of what has begun, {waiting} more to come" if waiting else "")


class TimeLeft(ProgressColumn):
    """The time left, looked at again whenever the bar is drawn (it also falls while nothing ends), and what the tasks say."""

    def __init__(self, display: ProgressDisplay) -> None:
        super().__init__()
        self.display = display

    def render(self, task: Task) -> Text:
        return Text("; ".join(filter(None, (self.display.left(time.monotonic()), self.display.said()))))
