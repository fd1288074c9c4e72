"""The record of one run of the benchmark: a JSON file that is whole after every measurement.

Knows machines and files; knows no measurement.
"""

from __future__ import annotations

import json
import platform
import time
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from scdpo.cores import usable_cores

PACKAGES = ("scdpo", "torch", "triton", "transformers", "accelerate", "peft", "trl", "liger-kernel", "flash-attn", "vllm")


@dataclass(frozen=True, slots=True)
class Record:
    """The file `gpu-DEVICE-DATE.json`. Only one process writes to it at a time."""

    file: Path

    def read(self) -> dict[str, Any]:
        return json.loads(self.file.read_text(encoding="utf-8"))

    def add(self, section: str, what: str, facts: dict[str, Any], shown: str) -> None:
        """Keep a measurement of a section, and print it in one line."""
        print(f"{section:>12}  {what}: {shown}", flush=True)
        record = self.read()
        record["sections"].setdefault(section, {}).setdefault("measured", []).append({"what": what, **facts})
        self._write(record)

    def close(self, section: str, seconds: float, ended: str) -> None:
        """Say how a section ended."""
        record = self.read()
        record["sections"].setdefault(section, {}).update(seconds=round(seconds, 1), ended=ended)
        self._write(record)

    def measured(self, section: str) -> list[dict[str, Any]]:
        """What a section has measured so far."""
        return self.read()["sections"].get(section, {}).get("measured", [])

    def _write(self, record: dict[str, Any]) -> None:
        beside = self.file.with_suffix(".part")
        beside.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        beside.replace(self.file)

    @classmethod
    def begin(cls, folder: Path, device: str, minutes: float) -> Record:
        """A new file for this machine and day; an earlier one of the same day stays, and the new one gets a number."""
        name = device_name(device)
        stem = f"gpu-{''.join(c if c.isalnum() else '-' for c in name.lower())}-{date.today().isoformat()}"
        files = (folder / f"{stem}{'' if number == 1 else f'-{number}'}.json" for number in range(1, 1000))
        record = cls(next(file for file in files if not file.exists()))
        folder.mkdir(parents=True, exist_ok=True)
        record._write(
            {"device": name, **machine(device), "date": time.strftime("%Y-%m-%d %H:%M"), "minutes": minutes, "sections": {}}
        )
        return record


def device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else "cpu"


def machine(device: str) -> dict[str, Any]:
    """The machine and the versions of what is measured."""
    import torch

    facts: dict[str, Any] = {"processor": processor(), "cores": usable_cores(), "python": platform.python_version()}
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts |= {"memory_gib": round(properties.total_memory / 2**30, 1), "cuda": torch.version.cuda}
    return facts | {"versions": {name: found for name in PACKAGES if (found := known_version(name))}}


def processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def known_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
