"""Solution trees to measure training by: worked solutions as trunks, and what other problems' solutions say as branches.

The shape is that of the paper's data on GSM8K: a naive pair a question, and step-controlled pairs at random forks. What the
branches say is of no weight for speed and memory; how long they are is, and real solutions are as long as real ones.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from scdpo.errors import ModelError, ProblemError
from scdpo.problems.problem import Problem
from scdpo.solutions.codec import Codec
from scdpo.solutions.rendering import TreeRow, render
from scdpo.solutions.solution import Solution, Step
from scdpo.solutions.tree import Branch, SolutionTree
from scdpo.solutions.verdict import Verdict


def paper_rows(
    problems: Sequence[Problem], codec: Codec, count: int, step_controlled: int, context: int, seed: int = 0
) -> list[TreeRow]:
    """`count` trees of one naive and `step_controlled` step-controlled pairs each, as rows, the same for the same seed.

    A branch takes over from another problem's solution at the step where it leaves its trunk. Raises ProblemError where the
    problems do not suffice.
    """
    draw = random.Random(f"trees:{seed}")
    order = draw.sample(range(len(problems)), len(problems))
    worked = ((problems[index], _read(codec, problems[index])) for index in order)
    usable = ((problem, steps) for problem, steps in worked if steps and Solution(steps, RIGHT).forks)
    rows: list[TreeRow] = []
    spare: list[tuple[Problem, tuple[Step, ...]]] = []
    for problem, steps in usable:
        spare.append((problem, steps))
        if len(spare) < 2 + step_controlled:
            continue
        (asked, trunk), *others = spare
        forks = [0, *draw.choices(Solution(trunk, RIGHT).forks, k=step_controlled)]
        branches = [
            Branch(fork, other[min(fork, len(other) - 1) :], WRONG) for fork, (_, other) in zip(forks, others, strict=True)
        ]
        row = render(
            SolutionTree(asked.id, asked.question, Solution(trunk, RIGHT), tuple(branches)),
            codec.prompt(asked.question),
            codec.end_id,
        )
        spare = []
        if row.longest <= context:
            rows.append(row)
        if len(rows) == count:
            return rows
    raise ProblemError(f"{len(rows)} trees of {2 + step_controlled} worked solutions each, of {count}; give more problems")


RIGHT, WRONG = Verdict("correct"), Verdict("wrong")


@dataclass(frozen=True, slots=True)
class TreeShape:
    """Lengths of made trees: tokens of a prompt, steps of a trunk, tokens of a step, step-controlled branches beside the naive
    one. Each is a mean: what is drawn lies between half of it and one and a half."""

    prompt: int
    steps: int
    step: int
    step_controlled: int


PAPER_SHAPE = TreeShape(prompt=85, steps=5, step=26, step_controlled=2)
"""Questions and solutions of GSM8K."""
LONG_SHAPE = TreeShape(prompt=200, steps=20, step=70, step_controlled=2)
"""Trees of about four thousand tokens."""


def shaped_rows(shape: TreeShape, count: int, vocabulary: int, seed: int = 0) -> list[TreeRow]:
    """`count` trees of random tokens below `vocabulary`, as rows, the same for the same seed: for models that say nothing."""
    draw = random.Random(f"shaped:{seed}")

    def around(mean: int) -> int:
        return draw.randint(max(1, mean // 2), max(1, mean + mean // 2))

    def ids(mean: int) -> tuple[int, ...]:
        return tuple(draw.randrange(vocabulary) for _ in range(around(mean)))

    def steps(number: int) -> tuple[Step, ...]:
        return tuple(Step("", ids(shape.step)) for _ in range(number))

    rows = []
    for number in range(count):
        trunk = steps(max(2, around(shape.steps)))
        forks = [0, *(draw.randrange(1, len(trunk)) for _ in range(shape.step_controlled))]
        branches = tuple(Branch(fork, steps(len(trunk) - fork), WRONG) for fork in forks)
        tree = SolutionTree(f"tree {number}", "", Solution(trunk, RIGHT), branches)
        rows.append(render(tree, ids(shape.prompt), end_id=vocabulary - 1))
    return rows


def _read(codec: Codec, problem: Problem) -> tuple[Step, ...]:
    try:
        codec.prompt(problem.question)
        return codec.read(problem.solution or problem.answer)
    except ModelError:
        return ()
