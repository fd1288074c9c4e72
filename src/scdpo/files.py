"""Files and folders that are there whole or not at all: each is made beside its place and moved there at its end.

A kill or a full disk leaves what was there before; what a lack of rights or of a folder prevents is the user's to mend.
Knows nothing of what is in them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from scdpo.errors import users_file


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A free path beside `path`. What is made there becomes `path` at the end, and is removed where anything fails."""
    partial = path.with_name(path.name + ".tmp")
    with users_file():
        remove(partial)
    try:
        yield partial
        with users_file():
            partial.replace(path)
    except BaseException:
        with suppress(OSError):
            remove(partial)
        raise


def remove(path: Path) -> None:
    """Remove a file or a folder that may be there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[str]]:
    """A new text file, open for writing, that becomes `path` at the end."""
    with whole(path) as partial:
        with users_file():
            file = partial.open("w", encoding="utf-8")
        with file:
            yield file


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder that becomes `path` at the end."""
    with whole(path) as partial:
        with users_file():
            partial.mkdir(parents=True)
        yield partial


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole."""
    with whole_file(path) as file:
        file.write(text)


def write_files(folder: Path, texts: Mapping[str, str], known: Iterable[str]) -> list[Path]:
    """Write texts by their names in `folder`, each whole, and remove those of the `known` names that there are no more.

    Returns what was written. Files of other names stay.
    """
    for name in set(known) - texts.keys():
        (folder / name).unlink(missing_ok=True)
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(folder / name, text)
    return [folder / name for name in texts]
