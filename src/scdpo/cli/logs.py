"""What a command logs: in the terminal warnings, or all of it with --verbose; in a run's log file all of it, with the time."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OURS = logging.getLogger("scdpo")
LINE = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class Terminal(logging.Handler):
    """Lines on standard error as it is when they are written: a progress bar puts them above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"scdpo: {record.getMessage()}", file=sys.stderr)


@contextmanager
def terminal_log(verbose: bool) -> Iterator[None]:
    """While a command runs: what we log goes to the terminal, from warnings on, or all of it."""
    handler, level = Terminal(logging.DEBUG if verbose else logging.WARNING), OURS.level
    OURS.addHandler(handler)
    OURS.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        OURS.removeHandler(handler)
        OURS.setLevel(level)


@contextmanager
def file_log(file: Path, command: str) -> Iterator[None]:
    """While a command works on a run: appends to its log file the command, all that we log, the libraries' warnings, and the
    traceback of an error that ends it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handler, root = logging.FileHandler(file, encoding="utf-8"), logging.getLogger()
    handler.setFormatter(logging.Formatter(LINE))
    root.addHandler(handler)
    tell = lambda level, text, trace=None: handler.handle(OURS.makeRecord("scdpo", level, "", 0, text, (), trace))  # noqa: E731
    tell(logging.INFO, command)
    try:
        yield
        tell(logging.INFO, "done")
    except BaseException as error:
        tell(logging.ERROR, f"ended by {type(error).__name__}", (type(error), error, error.__traceback__))
        raise
    finally:
        root.removeHandler(handler)
        handler.close()
