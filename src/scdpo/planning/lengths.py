"""How long prompts and solutions are: measured where problems and tokenizer are at hand, else assumed. Knows no stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scdpo.errors import ModelError, ProblemError
from scdpo.problems.problem import Problem
from scdpo.problems.settings import each_source
from scdpo.problems.source import GENERATORS, locate, make_splits
from scdpo.run.prompts import codec_of, starting_tokenizer
from scdpo.run.recipe import Recipe
from scdpo.training.configs import find_config

LOOKED_AT = 200
"""Problems whose lengths are measured."""
NEW_VOCABULARY = 100
ASSUMED = {
    "stories": (75, 55, 5), "stories_code": (75, 140, 8), "gsm_symbolic": (110, 110, 5), "gsm_symbolic_code": (110, 220, 8),
    "gsm8k": (85, 130, 5), "svamp": (60, 60, 3), "math": (105, 230, 7), "ape210k": (80, 90, 4), "cmath": (70, 70, 4),
    "mgsm_zh": (90, 120, 5),
}  # fmt: skip
"""Mean tokens of prompt and solution and steps of a solution, by problem set; for others those of GSM8K."""
LONGEST = 2.2
"""The longest solution with its prompt over the mean one, where nothing was measured."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Mean tokens of a prompt and of a solution, mean steps, and the tokens of the longest of both together.

    how: measured or assumed, and on what, for the reader; vocabulary: of a new model's tokenizer.
    """

    prompt: float
    solution: float
    steps: float
    longest: int
    how: str
    vocabulary: int = NEW_VOCABULARY

    @property
    def row(self) -> float:
        return self.prompt + self.solution


def lengths_of(recipe: Recipe, run: Path | None = None) -> Lengths:
    """The lengths of a recipe's problems; the longest never exceeds the context, which drops what does.

    run: a run directory, whose problems and tokenizer are measured.
    """
    problems = _problems(recipe, run)
    worked = [problem for problem in problems if problem.solution]
    if worked:
        tokenizer = _tokenizer(recipe, worked, run)
        measured = None if tokenizer is None else _measured(recipe, worked, tokenizer)
        if measured is not None:
            return measured
    source = first_source(recipe)
    name = source if source in GENERATORS else locate(source)[0]
    prompt, solution, steps = ASSUMED.get(name, ASSUMED["gsm8k"])
    longest = min(recipe.model.context, round(LONGEST * (prompt + solution)))
    return Lengths(prompt, solution, steps, longest, f"assumed for {name}")


def first_source(recipe: Recipe) -> str:
    """The source whose problems stand for all, where there are several."""
    return each_source(recipe.problems.source)[0]


def _problems(recipe: Recipe, run: Path | None) -> Sequence[Problem]:
    """Some problems of the recipe, where they can be had at once and without the hub."""
    from scdpo.problems.jsonl import ProblemFile

    if run is not None and (file := run / "problems" / "sft.jsonl").is_file():
        return [problem for problem, _ in zip(ProblemFile(file), range(LOOKED_AT), strict=False)]
    settings, source = recipe.problems, first_source(recipe)
    is_local = source in GENERATORS or Path(locate(source)[2]).expanduser().exists()
    if not is_local or (not locate(source)[2] and source not in GENERATORS):
        return []
    few = {"sft": LOOKED_AT, "pairs": 1, "dev": 0, "test": 1, "test_source": "", "sft_source": ""}
    try:
        return make_splits(settings.model_copy(update=few | {"source": source}))["sft"]
    except ProblemError:
        return []


def _tokenizer(recipe: Recipe, problems: Sequence[Problem], run: Path | None) -> Any:
    """The tokenizer that a run would start with, or a run's own; None where the model's is not at hand. Asks no network."""
    from scdpo.training.model_files import load_tokenizer

    if run is not None and (run / "models" / "sft" / "tokenizer.json").is_file():
        return load_tokenizer(run / "models" / "sft")
    try:
        found = find_config(recipe.model.place) if recipe.model.path else None
        if found is not None and found.folder is not None:
            local = recipe.model.model_copy(update={"path": str(found.folder), "revision": ""})
            recipe = recipe.model_copy(update={"model": local})
        elif recipe.model.path:
            return None
        return starting_tokenizer(recipe, problems)[0]
    except ModelError:
        return None


def _measured(recipe: Recipe, problems: Sequence[Problem], tokenizer: Any) -> Lengths | None:
    """The lengths as the run's codec reads them; None where it reads none."""
    codec = codec_of(recipe, tokenizer)
    prompts, solutions, steps = [], [], []
    for problem in problems:
        try:
            prompt, read = codec.prompt(problem.question), codec.read(problem.solution or "")
        except ModelError:  # what the tokenizer cannot spell is left out of a run, too
            continue
        prompts.append(len(prompt))
        solutions.append(sum(len(step.ids) for step in read) + 1)
        steps.append(len(read))
    if not prompts:
        return None
    fitting = [p + s for p, s in zip(prompts, solutions, strict=True) if p + s <= recipe.model.context]
    count = len(prompts)
    return Lengths(
        sum(prompts) / count, sum(solutions) / count, sum(steps) / count, max(fitting, default=recipe.model.context),
        f"measured on {count} problems", len(tokenizer),
    )  # fmt: skip
