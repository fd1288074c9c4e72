"""What the user is told: one exception type a boundary, each with a one-line message that names the cure.

A bad solution or problem is data, not an exception; these are for what only the user can mend.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager


def first_line(error: BaseException) -> str:
    """What a library's error says, on one line: its first, or its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class ScdpoError(Exception):
    """Base of all errors that end a command with one line and exit status 2."""


class UsageError(ScdpoError):
    """A command line that says what no command knows, or leaves out what one needs."""


class FileError(ScdpoError):
    """A file or folder of the user's that cannot be read or written."""


@contextmanager
def users_file() -> Iterator[None]:
    """Around the opening of a file that the user named: what fails there is for the user to mend. Anywhere else a file that
    is not there is a defect of ours."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL or error.filename is None:
            raise
        raise FileError(about_file(error)) from error


def about_file(error: OSError) -> str:
    """What the system says of a file, with the cure."""
    return f"{error.filename}: {(error.strerror or str(error)).lower()}; check the path and its permissions"


class RecipeError(ScdpoError):
    """A recipe that cannot be read, or a field of it that is misspelt or ill-typed."""


class ProblemError(ScdpoError):
    """A problem source that cannot be read, or holds something that is not a problem."""


class HubError(ScdpoError):
    """A repository of the hub that cannot be read or written."""


class ModelError(ScdpoError):
    """A model or tokenizer that cannot be loaded, saved or used for the recipe."""


class RunError(ScdpoError):
    """A run directory that cannot be used for what was asked."""


class GradingError(ScdpoError):
    """Answers that cannot be read for grading, or a grader that does not start."""


class SandboxError(ScdpoError):
    """A sandbox that does not start, or would not hold what runs in it."""


class ExchangeError(ScdpoError):
    """A file of another tool that cannot be read as pairs, or trees that cannot be written as asked."""
