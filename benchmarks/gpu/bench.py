"""What a section of the benchmark is given."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.gpu.record import Record
from benchmarks.gpu.sizes import Sizes


@dataclass(frozen=True, slots=True)
class Bench:
    """What a section is given: the device, how much to measure, where to write, when to end (seconds since the epoch), and the
    recipe's fields of the whole run."""

    device: str
    sizes: Sizes
    record: Record
    section: str
    deadline: float
    run_fields: dict[str, str]

    @property
    def left(self) -> float:
        """Seconds until the section is to end."""
        return self.deadline - time.time()

    def add(self, what: str, facts: dict, shown: str) -> None:
        self.record.add(self.section, what, facts, shown)
