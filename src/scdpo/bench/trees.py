"""Solution trees to measure training by: worked solutions as trunks, and what other problems' solutions say as branches.

The shape is that of the paper's data on GSM8K: a naive pair a question, and step-controlled pairs at random forks. What the
branches say is of no weight for speed and memory; how long they are is, and real solutions are as long as real ones.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

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
            SolutionTree(asked.id, Solution(trunk, RIGHT), tuple(branches)), codec.prompt(asked.question), codec.end_id
        )
        spare = []
        if row.longest <= context:
            rows.append(row)
        if len(rows) == count:
            return rows
    raise ProblemError(f"{len(rows)} trees of {2 + step_controlled} worked solutions each, of {count}; give more problems")


RIGHT, WRONG = Verdict("correct"), Verdict("wrong")


def _read(codec: Codec, problem: Problem) -> tuple[Step, ...]:
    try:
        codec.prompt(problem.question)
        return codec.read(problem.solution or problem.answer)
    except ModelError:
        return ()
