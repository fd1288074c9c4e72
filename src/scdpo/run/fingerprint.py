"""What an output of a run was made from: the fields of the recipe and the inputs that its stage reads, kept beside it.

Two outputs made from the same are the same, in whatever run they lie. Knows recipes' fields and files; knows no stage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

CHANGE_NOTHING = (
    "*.threads",
    "*.tokens_per_micro_batch",
    "*.logits_per_chunk",
    "*.activation_checkpointing",
    "*.checkpoint_every",
    "*.report_to",
    "engine.rows",
    "engine.vllm.*",
    "engine.server.*",
    "sandbox.sessions",
    "sandbox.jobs",
    "sandbox.bubblewrap",
    "sandbox.unsafe_no_isolation",
    "ray.*",
)
"""Fields that say where and in what portions the work is done, and not what comes out: they may change at any time."""


def changes_nothing(field: str) -> bool:
    """Whether a field, "section.field", changes no result."""
    return any(fnmatch(field, pattern) for pattern in CHANGE_NOTHING)


@dataclass(frozen=True, slots=True)
class MadeFrom:
    """fields: "section.field" -> value; inputs: what an input is called -> its digest."""

    fields: Mapping[str, Any]
    inputs: Mapping[str, str]

    @property
    def digest(self) -> str:
        """The same for all outputs that are made from the same."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()

    def to_text(self) -> str:
        """As it is kept beside the output."""
        return json.dumps({"fields": self.fields, "inputs": self.inputs}, sort_keys=True, ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def read(cls, file: Path) -> MadeFrom | None:
        """What is kept in a file; None where there is none, or nothing that can be read."""
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            return cls(record["fields"], record["inputs"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def differences(self, now: MadeFrom) -> list[str]:
        """Why what was made from this is not what would be made now: the fields, with both values, else the inputs."""
        fields = [
            f"{name}: {self.fields.get(name)!r} there, {now.fields.get(name)!r} now"
            for name in sorted({*self.fields, *now.fields})
            if self.fields.get(name) != now.fields.get(name)
        ]
        inputs = sorted({*self.inputs, *now.inputs})
        return fields or [f"other {name}" for name in inputs if self.inputs.get(name) != now.inputs.get(name)]


def fields_of(fields: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The fields of a recipe ("section.field" -> value) that lie in the named sections and change a result."""
    wanted = tuple(f"{name}." for name in names)
    return {name: value for name, value in fields.items() if f"{name}.".startswith(wanted) and not changes_nothing(name)}


def content_digest(file: Path) -> str:
    """The digest of a file's bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


LOOKED_AT, PIECE = 64, 4096
"""How many pieces of each file of a model are read, and how many bytes each has. Training changes all of them."""


def model_digest(folder: Path) -> str:
    """The digest of a model's folder or file: names, sizes, and pieces of the contents, so that large ones take no time."""
    digest = hashlib.sha256()
    files = sorted(folder.iterdir()) if folder.is_dir() else [folder]
    for file in (each for each in files if each.is_file()):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as opened:
            for place in dict.fromkeys(number * max(0, size - PIECE) // (LOOKED_AT - 1) for number in range(LOOKED_AT)):
                opened.seek(place)
                digest.update(opened.read(PIECE))
    return digest.hexdigest()
