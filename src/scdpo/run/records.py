"""Append-only JSON-lines records, written in whole blocks: what is there, what is owed, and nothing torn.

Knows lines and blocks; knows no room's records.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from scdpo.files import whole

T = TypeVar("T")


class BlockRecords:
    """A file with one JSON object for each of some names, in their order, committed a block at a time.

    names: what the file is to hold a line for, by the field `key`, asked for again whenever it is checked, so that they need
    not be held; count: how many they are; block: lines a block.
    """

    def __init__(self, path: Path, names: Callable[[], Iterable[str]], count: int, block: int, key: str = "problem") -> None:
        self.path, self.names, self.count, self.block, self.key = path, names, count, block, key

    def at(self, path: Path) -> BlockRecords:
        """The same lines, looked for in another file."""
        return BlockRecords(path, self.names, self.count, self.block, self.key)

    @property
    def blocks(self) -> int:
        return -(-self.count // self.block)

    def size(self, index: int) -> int:
        """How many lines block `index` has."""
        return min(self.block, self.count - index * self.block)

    def repair(self) -> int:
        """Cut off what follows the last whole block (a torn line, a part of a block); returns how many blocks are whole.

        What is complete stays as it is: it may hold the lines of more names than are asked for now.
        """
        whole, end = self._whole()
        if whole < self.blocks and self.path.exists() and end != self.path.stat().st_size:
            self._unshare()
            os.truncate(self.path, end)
        return whole

    def _unshare(self) -> None:
        """Make a file that another run holds too (a hard link) this run's own, before it changes."""
        if self.path.exists() and self.path.stat().st_nlink > 1:
            with whole(self.path) as own:
                shutil.copyfile(self.path, own)

    def _whole(self) -> tuple[int, int]:
        """How many blocks are whole, and the bytes that they take."""
        if not self.path.exists():
            return 0, 0
        whole, end, place = 0, 0, 0
        with self.path.open("rb") as file:
            for number, (line, name) in enumerate(zip(file, self.names(), strict=False), start=1):
                if not self._holds(line, name):
                    break
                place += len(line)
                if number % self.block == 0 or number == self.count:
                    whole, end = whole + 1, place
        return whole, end

    def _holds(self, line: bytes, name: str) -> bool:
        try:
            record = json.loads(line)
        except ValueError:
            return False
        return line.endswith(b"\n") and isinstance(record, dict) and record.get(self.key) == name

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write one block whole; where that fails, the file stays as it was."""
        text = "".join(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n" for record in records)
        self._unshare()
        before = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            if self.path.exists():
                os.truncate(self.path, before)
            raise

    def whole(self) -> int:
        """How many lines there are in whole blocks."""
        return min(self._whole()[0] * self.block, self.count)

    def is_complete(self) -> bool:
        return self._whole()[0] == self.blocks

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The records that are there, of the names that are asked for, read one at a time."""
        if self.path.exists():
            with self.path.open(encoding="utf-8") as file:
                yield from map(json.loads, islice(file, self.count))


def in_blocks(items: Iterable[T], size: int, first: int = 0) -> Iterator[list[T]]:
    """The items in blocks of `size`, from block `first` on, of which one is made at a time."""
    rest = islice(items, first * size, None)
    while block := list(islice(rest, size)):
        yield block
