"""Accuracy against temperature (the paper's Fig. 5), and how much of what is sampled is no solution any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scdpo.evaluation.statistics import Estimate, wilson
from scdpo.problems.problem import Problem
from scdpo.problems.step_oracle import step_error, unmarked
from scdpo.sampling.continuation import UNFIT
from scdpo.solutions.solution import Solution


@dataclass(frozen=True, slots=True)
class TemperaturePoint:
    """What sampling once for each problem at `temperature` gave: shares of right and of garbled solutions."""

    temperature: float
    accuracy: Estimate
    garbled: Estimate

    def to_json(self) -> dict[str, Any]:
        garbled = self.garbled.to_json("garbled")
        accuracy = self.accuracy.counted_json("accuracy")
        return {"temperature": self.temperature, **accuracy, "garbled": garbled["garbled"], "garbled_ci95": garbled["ci95"]}


def temperature_point(temperature: float, problems: Sequence[Problem], solutions: Sequence[Solution]) -> TemperaturePoint:
    """The point of one temperature, from a solution of each problem."""
    right = sum(solution.verdict.is_correct for solution in solutions)
    garbled = sum(is_garbled(p, s) for p, s in zip(problems, solutions, strict=True))
    return TemperaturePoint(temperature, wilson(right, len(solutions)), wilson(garbled, len(solutions)))


def is_garbled(problem: Problem, solution: Solution) -> bool:
    """Whether a solution is none: its answer cannot be read (no end, no answer, broken or stopped code), or was only guessed at
    in a text that states none; or a step is malformed, where the problem knows the truth of its steps. A problem that could not
    be put to the model is not the solution's fault."""
    if solution.verdict.reason in UNFIT:
        return False
    if solution.verdict.outcome == "undecided" or solution.verdict.is_guess:
        return True
    facts = problem.facts
    return facts is not None and any(
        step_error(problem.answer, facts, unmarked(step.text)) == "malformed" for step in solution.steps
    )
