"""A run is its directory: the resolved recipe, the problems, the rounds with their records and models, the manifest.

Opens, creates and guards it. What is owed is computed from what is there (see stages).
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from scdpo.errors import RecipeError, RunError, users_file
from scdpo.evaluation.settings import EvaluationSettings
from scdpo.exchange.tree_file import tree_lines
from scdpo.problems.jsonl import ProblemFile, problem_lines
from scdpo.problems.problem import Problem
from scdpo.problems.settings import each_source
from scdpo.problems.source import SPLITS, Split, make_counted_splits, prompt_template
from scdpo.run.given_trees import take_given_trees
from scdpo.run.pins import keep, resolve
from scdpo.run.precisions import described, keep_precisions, settle_precisions
from scdpo.run.prompts import check_prompts
from scdpo.run.recipe import Recipe, build_recipe, differences, load_recipe
from scdpo.run.records import write_whole
from scdpo.run.rounds import Round
from scdpo.solutions.code_format import MARK
from scdpo.training.model_files import check_model

FREE = ("sandbox.unsafe_no_isolation:", "ray.", "engine.server.", "credit.problems:", "temperature.")
"""What may change over a run: where things may run, and how much is looked at of what came out (see studies_wanted)."""


STAND_IN = "stand-in"
"""Where a smoke's model and problems lie: they are there before their run begins (see smoke)."""


class RunDirectory:
    """The paths of one run, and its rounds."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path, self.recipe = path, recipe

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """An existing run. Raises RunError where the folder is none."""
        folder = Path(path).expanduser()
        file = folder / "recipe.toml"
        if not folder.exists():
            raise RunError(f"no run at {folder}; start one with: scdpo run --out {folder}")
        if not file.is_file():
            raise RunError(f"{folder} is not a run (it holds no recipe.toml); name a run's folder, or a new one")
        return cls(folder, load_recipe(str(file)))

    @classmethod
    def prepare(cls, path: str | Path, recipe: str | None, overrides: Mapping[str, str]) -> RunDirectory:
        """The run at `path`: the existing one if its recipe is the one asked for, else a new one in an empty folder.

        recipe: a name or path; None: the existing run's own recipe, or quickstart. Raises RunError where the folder holds
        something else, or a run of another recipe (the difference is shown).
        """
        folder = Path(path).expanduser()
        if (folder / "recipe.toml").is_file():
            return cls.open(folder).asked_for(overrides, recipe)
        if folder.exists() and (not folder.is_dir() or any(entry.name != STAND_IN for entry in folder.iterdir())):
            raise RunError(f"{folder} is not a run and not empty; name a new folder with --out")
        asked = load_recipe(recipe or "quickstart", overrides)
        if not asked.prompt.template:
            prompt_template(asked.problems.source)  # refuses sources that are asked in different ways, before any is read
        resolved, pins = resolve(asked)
        resolved, formats = settle_precisions(resolved)
        splits, left_out = make_counted_splits(
            resolved.problems.model_copy(update={"pairs": 0}) if resolved.sampling.trees else resolved.problems
        )
        given, evaluated = take_given_trees(resolved, splits) if resolved.sampling.trees else ([], 0)
        check_splits(resolved, splits)
        if resolved.model.path:
            tokenizer = check_model(resolved.model.place, resolved.model.trust_remote_code)
            check_prompts(resolved, tokenizer, splits)
        is_new = not folder.exists()
        run = cls(folder, resolved)
        try:
            with users_file():
                (folder / "problems").mkdir(parents=True)
            for split in SPLITS:
                write_whole(run.problem_file(split), problem_lines(splits[split]))
            if given:
                write_whole(run.given_trees, "".join(tree_lines(given)))
                run.update_manifest(given_trees={"taken": len(given), "question_is_evaluated": evaluated})
            if each_source(resolved.problems.sft_source):
                run.update_manifest(sft_source={"taken": len(splits["sft"]), "question_is_evaluated": left_out})
            if pins:
                run.update_manifest(revisions=pins)
            if formats:
                run.update_manifest(precision=described(formats))
            write_whole(folder / "recipe.toml", resolved.to_toml())
        except BaseException:
            shutil.rmtree(folder if is_new else folder / "problems", ignore_errors=True)
            raise
        return run

    def asked_for(self, overrides: Mapping[str, str], recipe: str | None = None) -> RunDirectory:
        """This run, on the Ray cluster and the servers that are asked for now, and with as much of credit and temperatures;
        workers read all but the first from its recipe.

        recipe: a name or path; None: this run's own recipe, with the overrides. Raises RunError, with the difference, where
        what is asked for is not this run's recipe.
        """
        table, name = self.recipe.model_dump(mode="json"), str(self.path / "recipe.toml")
        wanted = load_recipe(recipe, overrides) if recipe else build_recipe(table, name, overrides)
        wanted = keep_precisions(keep(wanted, self.manifest().get("revisions", {})), self.recipe)
        wanted = self.studies_wanted(wanted, overrides)
        free = FREE if self.has_records("credit") else (*FREE, "credit.")
        changed = [line for line in differences(self.recipe, wanted) if not line.startswith(free)]
        if changed:
            raise RunError(
                f"{self.path} is a run of another recipe ({'; '.join(changed)}); name a new folder, or ask for the same "
                "recipe to continue"
            )
        engine = self.recipe.engine.model_copy(update={"server": wanted.engine.server})
        new = {"engine": engine, "credit": wanted.credit, "temperature": wanted.temperature}
        if any(getattr(self.recipe, section) != settings for section, settings in new.items()):
            self.recipe = self.recipe.model_copy(update=new)
            write_whole(self.path / "recipe.toml", self.recipe.to_toml())
        return RunDirectory(self.path, self.recipe.model_copy(update={"ray": wanted.ray}))

    def studies_wanted(self, wanted: Recipe, overrides: Mapping[str, str]) -> Recipe:
        """What is asked for, with no study that has records made smaller: these would be lost.

        Raises RunError where the command line itself asks for less; a recipe that does so only knows nothing of the growth.
        """
        for study in ("credit", "temperature"):
            settings, there = getattr(wanted, study), getattr(self.recipe, study).problems
            if settings.problems < there and self.has_records(study):
                if f"{study}.problems" in overrides:
                    raise RunError(f"{study}.problems is {there} in {self.path}, and its records would be lost; name no less")
                wanted = wanted.model_copy(update={study: settings.model_copy(update={"problems": there})})
        return wanted

    def has_records(self, study: str) -> bool:
        """Whether a study has been begun."""
        return any((self.path / study).rglob("*.jsonl"))

    def allow_no_isolation(self) -> None:
        """From now on the run's code may run where a layer of isolation is missing; its recipe says so."""
        sandbox = self.recipe.sandbox.model_copy(update={"unsafe_no_isolation": True})
        self.recipe = self.recipe.model_copy(update={"sandbox": sandbox})
        write_whole(self.path / "recipe.toml", self.recipe.to_toml())

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
        write_whole(self.manifest_file, json.dumps(self.manifest() | facts, indent=2, ensure_ascii=False) + "\n")


def check_splits(recipe: Recipe, splits: Mapping[Split, list[Problem]]) -> None:
    """Refuse a recipe whose problems cannot serve their purposes. Raises RecipeError."""
    evaluation: EvaluationSettings = recipe.evaluation
    if not splits[evaluation.split]:
        raise RecipeError(f'evaluation.split is "{evaluation.split}" and problems.{evaluation.split} is 0; raise it')
    unsolved = next((problem for problem in splits["sft"] if problem.solution is None), None)
    if unsolved is not None:
        raise RecipeError(
            f'problem {unsolved.id} has no "solution" to fine-tune on; add worked solutions, or set problems.sft = 0 to start '
            "from model.path as it is"
        )
    marked = next((problem for problem in splits["sft"] if MARK.search(problem.solution or "")), None)
    if marked is not None and recipe.code.format != "blocks":
        raise RecipeError(f'the solution of problem {marked.id} is in marked blocks; set code.format = "blocks"')
    if not splits["sft"] and not recipe.model.path:
        raise RecipeError("a model from scratch needs problems.sft above 0, or set model.path")
