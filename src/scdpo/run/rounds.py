"""A round of a run: what it starts from, what it makes, and where that lies.

Round 1 is what a run without further rounds is, and lies in the run's own folder. Each later one lies in rounds/N, samples with
the `scdpo` of the round before and trains that model on (docs/rounds.md). Knows no stage.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from scdpo.problems.jsonl import ProblemFile
from scdpo.run.records import BlockRecords
from scdpo.sampling.arms import ARMS, Arm
from scdpo.sampling.policies import ProblemSamples
from scdpo.sampling.settings import ForkSettings
from scdpo.sampling.stages import ForkedProblem
from scdpo.seeds import derive_seed

if TYPE_CHECKING:
    from scdpo.run.run_directory import RunDirectory


def named(name: str, number: int) -> str:
    """What a stage or a model of a round is called in the manifest, in times and in tables: "sample", "sample.2"."""
    return name if number == 1 else f"{name}.{number}"


@dataclass(frozen=True, slots=True)
class Round:
    """Round `number` of `run`, counted from 1."""

    run: RunDirectory
    number: int

    @property
    def is_first(self) -> bool:
        return self.number == 1

    @property
    def path(self) -> Path:
        return self.run.path if self.is_first else self.run.path / "rounds" / str(self.number)

    @property
    def of_round(self) -> str:
        """For messages: " of round 2" in a run of several rounds, else nothing."""
        return f" of round {self.number}" if self.run.recipe.run.rounds > 1 else ""

    @property
    def seed(self) -> int:
        """What the round's draws and trainings derive from, so that no round repeats another's."""
        seed = self.run.recipe.run.seed
        return seed if self.is_first else derive_seed(seed, "round", self.number)

    @property
    def before(self) -> Round:
        """The round before; the first has none."""
        return self.run.round(self.number - 1)

    @property
    def arms(self) -> tuple[Arm, ...]:
        """What is trained: the comparison in the first round, afterwards what is iterated."""
        wanted = self.run.recipe.run.arms
        return tuple(arm for arm in ARMS if arm in wanted) if self.is_first else ("scdpo",)

    @property
    def models(self) -> tuple[str, ...]:
        """What is evaluated."""
        return ("sft", *self.arms) if self.is_first else self.arms

    @property
    def given(self) -> Path:
        """The model that comes from before the round."""
        return self.model("sft") if self.is_first else self.before.model("scdpo")

    @property
    def start(self) -> Path:
        """The model that samples, and that the trainings start from: the given one, adapters merged into their base."""
        has_adapters = not self.is_first and self.run.recipe.training.lora.rank
        return self.model("start") if has_adapters else self.given

    @property
    def reference(self) -> Path:
        """The frozen model of the round's loss."""
        return self.start if self.run.recipe.run.reference == "moved" else self.run.round(1).start

    @property
    def fork_settings(self) -> ForkSettings:
        """The recipe's, without the further naive samples where no arm uses them."""
        settings = self.run.recipe.fork
        return settings if "dpo-data-equal" in self.arms else settings.model_copy(update={"further_samples": 0})

    @property
    def samples(self) -> BlockRecords:
        return self._blocks("samples.jsonl", self.run.pair_problems, self.run.recipe.sampling.block)

    @property
    def trees(self) -> BlockRecords:
        return self._blocks("trees.jsonl", self.run.pair_problems, self.run.recipe.sampling.block)

    def read_samples(self) -> list[ProblemSamples]:
        return [ProblemSamples.from_json(record) for record in self.samples]

    def read_trees(self) -> list[ForkedProblem]:
        return [ForkedProblem.from_json(record) for record in self.trees]

    def answers(self, model: str) -> BlockRecords:
        return self._blocks(f"answers/{model}.jsonl", self.run.evaluation_problems, self.run.recipe.evaluation.block)

    @property
    def credit_samples(self) -> BlockRecords:
        """Solutions sampled from the start, of which the wrong ones are credited."""
        return self._first("credit/samples.jsonl", self.run.recipe.credit.problems)

    def credit_log_probs(self, model: str) -> BlockRecords:
        """The log-probs of the wrong ones' tokens under a model."""
        return self._first(f"credit/log_probs/{model}.jsonl", self.run.recipe.credit.problems)

    def at_temperature(self, model: str, temperature: float) -> BlockRecords:
        """A solution of each problem of the temperature study."""
        return self._first(f"temperature/{model}/{temperature:g}.jsonl", self.run.recipe.temperature.problems)

    def _first(self, name: str, most: int) -> BlockRecords:
        """Of the first `most` evaluation problems."""
        problems = self.run.evaluation_problems
        count = min(most, len(problems))
        return BlockRecords(self.path / name, lambda: islice(problems.ids(), count), count, self.run.recipe.evaluation.block)

    def _blocks(self, name: str, problems: ProblemFile, block: int) -> BlockRecords:
        return BlockRecords(self.path / name, problems.ids, len(problems), block)

    def model(self, name: str) -> Path:
        return self.path / "models" / name

    def log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.jsonl"
