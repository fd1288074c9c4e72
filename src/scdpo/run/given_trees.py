"""Trees that a run is given (`sampling.trees`): which of them it trains on, and the pair problems that they bring.

Knows the recipe and the splits; knows no run directory.
"""

from __future__ import annotations

from scdpo.errors import RecipeError
from scdpo.exchange.tree_file import read_tree_file
from scdpo.problems.problem import NO_ANSWER, Problem
from scdpo.problems.source import Split
from scdpo.run.recipe import Recipe
from scdpo.solutions.tree import SolutionTree


def take_given_trees(recipe: Recipe, splits: dict[Split, list[Problem]]) -> tuple[list[SolutionTree], int]:
    """The trees of the file but for those whose question is evaluated, and how many these are; the others' problems become the
    split `pairs`.

    Raises RecipeError where an arm would have no pairs to train on.
    """
    evaluated = {problem.question for problem in (*splits["dev"], *splits["test"])}
    every = list(read_tree_file(recipe.sampling.trees))
    trees = [each for each in every if each.question not in evaluated]
    if not trees:
        raise RecipeError(f"{recipe.sampling.trees} has no tree whose question is not also evaluated; name another file")
    if "dpo" in recipe.run.arms and all(branch.is_step_controlled for each in trees for branch in each.branches):
        others = ", ".join(f'"{arm}"' for arm in recipe.run.arms if arm not in ("dpo", "dpo-data-equal"))
        raise RecipeError(
            f'{recipe.sampling.trees} has no naive pairs, and run.arms has "dpo", which trains on nothing else; '
            f"set run.arms = [{others}]"
        )
    splits["pairs"] = [Problem(each.problem, each.question, each.answer or NO_ANSWER) for each in trees]
    return trees, len(every) - len(trees)
