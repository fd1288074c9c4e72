"""What the commands over files share: output that is there whole or not at all, and a bar over the input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from scdpo.files import whole_file


@contextmanager
def written(out: str | None) -> Iterator[Callable[[str], object]]:
    """A function that writes to `out`, which is there whole at the end or stays as it was; to nowhere without `out`."""
    if not out:
        yield lambda text: None
        return
    with whole_file(Path(out).expanduser()) as file:
        yield file.write


@contextmanager
def progress_bar(path: str, console: Console, title: str) -> Iterator[Callable[[int], None]]:
    """A bar over the bytes of a file, on terminals; yields the function that moves it."""
    file = Path(path).expanduser()
    columns = (TextColumn(title), BarColumn(), TextColumn("{task.percentage:3.0f}%"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=file.stat().st_size if file.is_file() else None)
        yield lambda done: progress.update(bar, completed=done)
