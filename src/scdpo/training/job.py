"""A training job: what is trained, with what, and where it goes. Knows no run directory and no recipe as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from scdpo.precision import settled
from scdpo.solutions.codec import Codec
from scdpo.training.processes import launched
from scdpo.training.settings import OptimizerSettings

Report = Callable[..., None]
"""Called with (done, total), and with words where there are some."""
S = TypeVar("S", bound=OptimizerSettings, covariant=True)


@dataclass(frozen=True, slots=True)
class TrainingJob(Generic[S]):
    """What is to be trained and how.

    name: in logs and cards; settings: OptimizerSettings for SFT, PreferenceSettings for pairs; codec: of the model's tokens;
    context: tokens of the longest prompt with its solution, beyond which a solution is dropped and counted.
    folder: the trained model's, or its adapters'; log: a file for JSON lines of figures; seed: of the data's order and of new
    adapters. start: the model to train, where it lies on disk; reference: the frozen model of a preference loss, None: `start`;
    cache: a folder for its log-probs, None: they are not kept. facts: for the model card; report: hears of the steps.
    """

    name: str
    settings: S
    codec: Codec
    context: int
    folder: Path
    log: Path
    seed: int
    start: Path | None = None
    reference: Path | None = None
    cache: Path | None = None
    trust_remote_code: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    report: Report = lambda *told: None

    @property
    def checkpoints(self) -> Path:
        """Where a training that has not ended left itself."""
        return self.folder.with_name(f"{self.folder.name}.checkpoints")

    def settled(self) -> TrainingJob[S]:
        """With the number format that precision = "auto" comes to on this process's device."""
        return replace(self, settings=settled(self.settings, launched().device.type))
