"""The problems of a run as it takes them: read, cut into splits, and refused where they cannot serve their purposes.

Knows a recipe; knows no run directory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scdpo.errors import RecipeError
from scdpo.problems.problem import Problem
from scdpo.problems.source import Split, make_counted_splits
from scdpo.run.given_trees import take_given_trees
from scdpo.run.prompts import check_prompts
from scdpo.run.recipe import Recipe
from scdpo.solutions.code_format import MARK
from scdpo.solutions.tree import SolutionTree
from scdpo.training.model_files import check_model, is_here


@dataclass(frozen=True, slots=True)
class Material:
    """splits: the problems by purpose; given: the trees of sampling.trees; left_out, evaluated: worked solutions and trees that
    are left out because their questions are evaluated; tokenizer: the given model's, None for one that is from
    scratch or was not fetched."""

    splits: Mapping[Split, list[Problem]]
    left_out: int
    given: Sequence[SolutionTree]
    evaluated: int
    tokenizer: Any


def read_material(recipe: Recipe, fetches: bool = True) -> Material:
    """Raises what is wrong with problems, trees, model or prompts: RecipeError, ProblemError, ExchangeError, ModelError.

    fetches: get a model from the hub that is not here, with its weights; otherwise it is not looked at."""
    is_given = bool(recipe.sampling.trees)
    splits, left_out = make_counted_splits(recipe.problems.model_copy(update={"pairs": 0}) if is_given else recipe.problems)
    given, evaluated = take_given_trees(recipe, splits) if is_given else ([], 0)
    check_splits(recipe, splits)
    return Material(splits, left_out, given, evaluated, read_tokenizer(recipe, splits, fetches))


def read_tokenizer(recipe: Recipe, splits: Mapping[Split, Sequence[Problem]], fetches: bool = True) -> Any:
    """The given model's tokenizer, its prompts of the problems checked; None where there is none, or it is not here and not
    fetched. Raises RecipeError, ModelError."""
    if not recipe.model.path or not (fetches or is_here(recipe.model.place)):
        return None
    tokenizer = check_model(recipe.model.place, recipe.model.trust_remote_code)
    check_prompts(recipe, tokenizer, splits)
    return tokenizer


def check_splits(recipe: Recipe, splits: Mapping[Split, list[Problem]]) -> None:
    """Refuse a recipe whose problems cannot serve their purposes. Raises RecipeError."""
    evaluation = recipe.evaluation
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
