"""Append-only JSON-lines records, written in whole blocks: what is there, what is owed, and nothing torn.

Knows lines and blocks; knows no room's records.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class BlockRecords:
    """A file with one JSON object for each of `names`, in their order, committed a block at a time.

    names: what the file is to hold a line for, by the field `key`; block: lines a block.
    """

    def __init__(self, path: Path, names: list[str], block: int, key: str = "problem") -> None:
        self.path, self.names, self.block, self.key = path, names, block, key

    @property
    def blocks(self) -> int:
        return -(-len(self.names) // self.block)

    def block_names(self, index: int) -> list[str]:
        """What block `index` is to hold."""
        return self.names[index * self.block : (index + 1) * self.block]

    def repair(self) -> int:
        """Cut off what follows the last whole block (a torn line, a part of a block); returns how many blocks are whole."""
        whole, end = self._whole()
        if self.path.exists() and end != self.path.stat().st_size:
            os.truncate(self.path, end)
        return whole

    def _whole(self) -> tuple[int, int]:
        """How many blocks are whole, and the bytes that they take."""
        if not self.path.exists():
            return 0, 0
        whole, end, place = 0, 0, 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                if number >= len(self.names) or not self._holds(line, self.names[number]):
                    break
                place += len(line)
                if (number + 1) % self.block == 0 or number + 1 == len(self.names):
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

    def is_complete(self) -> bool:
        return self._whole()[0] == self.blocks

    def read(self) -> list[dict[str, Any]]:
        """All records that are there."""
        if not self.path.exists():
            return []
        with self.path.open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all."""
    partial = path.with_name(path.name + ".tmp")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
