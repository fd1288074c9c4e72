"""Trees over stories with their questions, as a run makes them."""

from __future__ import annotations

import pytest

from scdpo.solutions.solution import Solution
from scdpo.solutions.tree import Branch, SolutionTree
from tests.conftest import CORRECT, WRONG


@pytest.fixture(scope="session")
def some_trees(story_problems, story_codec):
    """Six trees, each with a naive and one or two step-controlled pairs."""
    trees = []
    for number in range(6):
        problem, other = story_problems[number], story_problems[number + 30]
        steps = story_codec.read(other.solution)
        forks = range(2 + number % 2)
        trunk = Solution(story_codec.read(problem.solution), CORRECT)
        branches = tuple(Branch(fork, steps[fork:], WRONG) for fork in forks)
        trees.append(SolutionTree(problem.id, problem.question, trunk, branches, problem.answer))
    return trees


def as_texts(trees) -> list[tuple]:
    """What must come back of trees that went out: texts, forks, verdicts, in their order."""
    return [
        (
            tree.problem,
            tree.question,
            tree.answer,
            tree.trunk.text,
            tree.trunk.verdict,
            tree.trunk.finish,
            [(branch.fork, branch.text, branch.verdict) for branch in tree.branches],
        )
        for tree in trees
    ]
