"""A run is its directory: the resolved recipe, the problems, the rounds with their records and models, the manifest.

Round 1 lies in the run's own folder; each later one in rounds/N, samples with the `scdpo` of the round before and trains that
model on (docs/rounds.md). Says where everything lies; prepares nothing (see prepare) and knows no stage.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from scdpo.errors import RunError
from scdpo.files import write_whole
from scdpo.jsonlines import json_text
from scdpo.problems.jsonl import ProblemFile
from scdpo.problems.source import Split
from scdpo.run.fingerprint import content_digest
from scdpo.run.prompts import prompt_of
from scdpo.run.recipe import Recipe, flat_fields, load_recipe
from scdpo.run.records import BlockRecords
from scdpo.sampling.arms import ARMS, Arm
from scdpo.sampling.policies import ProblemSamples
from scdpo.sampling.settings import ForkSettings
from scdpo.sampling.stages import ForkedProblem
from scdpo.seeds import derive_seed

SCHEMA = 2
"""The version of run directories: which files there are and what their lines hold."""


def round_name(name: str, number: int) -> str:
    """What a stage or a model of a round is called in the manifest, in times and in tables: "sample", "sample.2"."""
    return name if number == 1 else f"{name}.{number}"


class RunDirectory:
    """The paths of one run, and its rounds."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path, self.recipe = path, recipe
        self.outputs: dict[Any, Any] = {}  # that were asked for (see stage.once)
        self._contents: dict[tuple[Path, int, int], str] = {}

    def __reduce__(self) -> tuple[type[RunDirectory], tuple[Path, Recipe]]:
        """Another process looks at the files itself."""
        return RunDirectory, (self.path, self.recipe)

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """An existing run. Raises RunError where the folder is none, or one of an older scdpo."""
        folder = Path(path).expanduser()
        file = folder / "recipe.toml"
        if not folder.exists():
            raise RunError(f"no run at {folder}; start one with: scdpo run --out {folder}")
        if not file.is_file():
            raise RunError(f"{folder} is not a run (it holds no recipe.toml); name a run's folder, or a new one")
        run = cls(folder, load_recipe(str(file)))
        schema = run.manifest().get("schema", 1)
        if schema != SCHEMA:
            age = "an older" if schema < SCHEMA else "a newer"
            raise RunError(f"{folder} is a run of {age} scdpo, which keeps other records; start a new one with --out FOLDER")
        return run

    @cached_property
    def fields(self) -> dict[str, Any]:
        """The recipe's fields, "section.field" -> value; the prompt's template is the one that is used."""
        return flat_fields(self.recipe) | {"prompt.template": prompt_of(self.recipe)}

    @property
    def place(self) -> Path:
        """The path by which processes with another working directory find the run."""
        return self.path.absolute()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process. Raises RunError where another one works in it."""
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(f"another scdpo command is at work in {self.path}; wait for it or stop it") from error
            yield

    def problem_file(self, split: Split) -> Path:
        return self.path / "problems" / f"{split}.jsonl"

    def problems(self, split: Split) -> ProblemFile:
        return ProblemFile(self.problem_file(split))

    @property
    def given_trees(self) -> Path:
        """The run's own copy of what sampling.trees named."""
        return self.path / "problems" / "trees.jsonl"

    @cached_property
    def pair_problems(self) -> ProblemFile:
        return self.problems("pairs")

    @cached_property
    def evaluation_problems(self) -> ProblemFile:
        return self.problems(self.recipe.evaluation.split)

    def content(self, file: Path) -> str:
        """The digest of a file's bytes, read once as long as it does not change; empty where it is not there."""
        if not file.exists():
            return ""
        known = file.stat()
        key = file, known.st_size, known.st_mtime_ns
        if key not in self._contents:
            self._contents[key] = content_digest(file)
        return self._contents[key]

    def round(self, number: int) -> Round:
        return Round(self, number)

    @property
    def rounds(self) -> list[Round]:
        return [self.round(number) for number in range(1, self.recipe.run.rounds + 1)]

    @property
    def reference_cache(self) -> Path:
        return self.path / "cache" / "reference"

    @property
    def manifest_file(self) -> Path:
        return self.path / "manifest.json"

    def manifest(self) -> dict[str, Any]:
        return json.loads(self.manifest_file.read_text(encoding="utf-8")) if self.manifest_file.exists() else {}

    def update_manifest(self, **facts: Any) -> None:
        """Add facts to the manifest."""
        write_whole(self.manifest_file, json_text(self.manifest() | facts))


@dataclass(frozen=True, slots=True, order=True)
class Draw:
    """A solution of each of some evaluation problems: by a model of the first round (of any, where it is greedy), at a
    temperature, the number-th of its kind. Seeds depend on the run, the problem and the number only."""

    model: str
    temperature: float = 0.0
    number: int = 0


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
        return self._of_pairs("samples.jsonl")

    @property
    def trees(self) -> BlockRecords:
        return self._of_pairs("trees.jsonl")

    def read_samples(self) -> list[ProblemSamples]:
        return [ProblemSamples.from_json(record) for record in self.samples]

    def read_trees(self) -> list[ForkedProblem]:
        return [ForkedProblem.from_json(record) for record in self.trees]

    @property
    def credited(self) -> int:
        """How many evaluation problems the credit study has."""
        return min(self.run.recipe.credit.problems, len(self.run.evaluation_problems))

    @property
    def studied(self) -> int:
        """How many evaluation problems the temperature study has."""
        return min(self.run.recipe.temperature.problems, len(self.run.evaluation_problems))

    @property
    def evaluation_draws(self) -> list[Draw]:
        """What evaluation reads: a greedy solution of every problem by each model."""
        return [Draw(model) for model in self.models]

    @property
    def credit_draws(self) -> list[Draw]:
        """What credit reads: solutions sampled from the SFT model, of which the wrong ones are scored."""
        settings = self.run.recipe.credit
        return [Draw("sft", settings.temperature, number) for number in range(settings.samples)]

    @property
    def temperature_draws(self) -> list[Draw]:
        """What the temperature study reads: a solution of each problem at every temperature."""
        settings = self.run.recipe.temperature
        return [Draw(model, at) for model in settings.models for at in settings.temperatures]

    def drawn(self, draw: Draw) -> BlockRecords:
        """The solutions of a draw, of as many problems as whoever reads most of them wants."""
        readers = [(len(self.run.evaluation_problems), self.evaluation_draws)]
        if self.is_first:
            readers += [(self.credited, self.credit_draws), (self.studied, self.temperature_draws)]
        count = max((count for count, draws in readers if draw in draws), default=0)
        name = draw.model if not draw.temperature else f"{draw.model}-t{draw.temperature:g}-{draw.number}"
        return self._of_evaluation(f"answers/{name}.jsonl", count)

    def answers(self, model: str) -> BlockRecords:
        """A model's greedy solutions."""
        return self.drawn(Draw(model))

    def credit_log_probs(self, model: str) -> BlockRecords:
        """The log-probs of the wrong solutions' tokens under a model."""
        return self._of_evaluation(f"credit/log_probs/{model}.jsonl", self.credited)

    def _of_evaluation(self, name: str, count: int) -> BlockRecords:
        """Records of the first `count` evaluation problems."""
        problems, block = self.run.evaluation_problems, self.run.recipe.evaluation.block
        return BlockRecords(self.path / name, lambda: islice(problems.ids(), count), count, block)

    def _of_pairs(self, name: str) -> BlockRecords:
        problems = self.run.pair_problems
        return BlockRecords(self.path / name, problems.ids, len(problems), self.run.recipe.sampling.block)

    def model(self, name: str) -> Path:
        return self.path / "models" / name

    def log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.jsonl"
