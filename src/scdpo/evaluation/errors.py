"""What the wrong answers of a model are made of: where the first wrong step lies, and of which kind it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scdpo.problems.problem import Problem
from scdpo.problems.step_oracle import first_error
from scdpo.solutions.solution import Solution


@dataclass(frozen=True, slots=True)
class ErrorBreakdown:
    """Counts over a model's wrong answers. by_step: of the first wrong step's place, from 1; by_kind: of its kind.

    undecided: answers that are neither right nor wrong, by reason; they count as not right in the accuracy.
    """

    wrong: int
    by_step: dict[int, int]
    by_kind: dict[str, int]
    undecided: dict[str, int]


def error_breakdown(problems: Iterable[Problem], solutions: Sequence[Solution]) -> ErrorBreakdown:
    """Where and how a model's solutions go wrong, by the step oracle; the counts stay empty without the problems' facts."""
    wrong = [(p, s) for p, s in zip(problems, solutions, strict=True) if s.verdict.is_wrong]
    found = [first_error(p, [step.text for step in s.steps]) for p, s in wrong if p.facts is not None]
    errors = [error for error in found if error is not None]
    undecided = Counter(s.verdict.reason for s in solutions if s.verdict.outcome == "undecided")
    return ErrorBreakdown(
        wrong=len(wrong),
        by_step=dict(sorted(Counter(error.step + 1 for error in errors).items())),
        by_kind=dict(Counter(error.kind for error in errors).most_common()),
        undecided=dict(undecided.most_common()),
    )
