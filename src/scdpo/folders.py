"""Folders that are there whole or not at all. Knows nothing of what is in them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from scdpo.errors import users_file


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder that then takes its place in one move."""
    partial = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(partial, ignore_errors=True)
    with users_file():
        partial.mkdir(parents=True)
    try:
        write(partial)
        partial.replace(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
