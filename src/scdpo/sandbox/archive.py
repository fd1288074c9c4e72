"""Imports without files: the modules that sessions may import, gathered before they lose sight of the disk.

A session can open nothing, so what it imports beyond the modules that are loaded already comes from one shared, read-only
memory. Modules in machine code cannot come from there; the server loads those before it forks.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import marshal
import mmap
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import InspectLoader, MetaPathFinder
from pathlib import Path
from types import CodeType, ModuleType

LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "__pycache__", "ensurepip", "turtledemo"}


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a module lies in the memory: its compiled code, or its source where there was no compiled one."""

    path: str
    start: int
    size: int
    compiled: bool


class ArchiveFinder(MetaPathFinder, InspectLoader):
    """Finds and loads the archived modules."""

    def __init__(self, packages: Sequence[str]) -> None:
        self.entries: dict[str, Entry] = {}
        descriptor = os.memfd_create("modules")
        place = 0
        for name, path in _modules(packages):
            if name in sys.modules:
                continue
            try:
                content, compiled = _content(path)
            except OSError:  # a link to nowhere, or a file that is another user's
                continue
            self.entries[name] = Entry(str(path), place, len(content), compiled)
            place += os.write(descriptor, content)
        self.memory = mmap.mmap(descriptor, max(1, place), mmap.MAP_PRIVATE, mmap.PROT_READ)
        os.close(descriptor)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        entry = self.entries.get(fullname)
        if entry is None:
            return None
        is_package = self.is_package(fullname)
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=entry.path, is_package=is_package)
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [str(Path(entry.path).parent)]
        return spec

    def is_package(self, fullname: str) -> bool:
        return self.entries[fullname].path.endswith("__init__.py")

    def get_code(self, fullname: str) -> CodeType:
        entry = self.entries[fullname]
        content = self.memory[entry.start : entry.start + entry.size]
        return marshal.loads(content) if entry.compiled else compile(content, entry.path, "exec", dont_inherit=True)

    def get_source(self, fullname: str) -> str | None:
        return None


def _modules(packages: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """(name, file) of every module in Python source of the standard library and of `packages`, tests left out."""
    yield from _below(Path(sysconfig.get_path("stdlib")), "")
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        file = Path(spec.origin)
        if spec.submodule_search_locations:
            yield from _below(file.parent, f"{package}.")
        elif file.suffix == ".py":
            yield package, file


def _below(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in LEFT_OUT and name.isidentifier())
        parts = Path(place).relative_to(folder).parts
        for file in sorted(files):
            name = file.removesuffix(".py")
            if name != file and name.isidentifier():
                dotted = prefix + ".".join((*parts, *(() if name == "__init__" else (name,))))
                if dotted:
                    yield dotted.removesuffix("."), Path(place, file)


def _content(path: Path) -> tuple[bytes, bool]:
    """A module's compiled code where the one on the disk is of this source, else its source."""
    source = path.stat()
    try:
        cached = Path(importlib.util.cache_from_source(str(path))).read_bytes()
    except OSError:
        cached = b""
    flags, modified, size = (int.from_bytes(cached[start : start + 4], "little") for start in (4, 8, 12))
    fresh = flags == 0 and (modified, size) == (int(source.st_mtime) & 0xFFFFFFFF, source.st_size & 0xFFFFFFFF)
    if len(cached) > 16 and cached[:4] == importlib.util.MAGIC_NUMBER and fresh:
        return cached[16:], True
    return path.read_bytes(), False
