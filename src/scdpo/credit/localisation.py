"""Localisation: how well a score of tokens finds the first wrong step, with intervals. Numbers in, numbers out.

The paper shows on examples that SCDPO's reward marks the wrong tokens; this puts a number on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scdpo.credit.record import CreditedSolution
from scdpo.credit.resampling import Array, draw_problems, interval, share
from scdpo.evaluation.statistics import Estimate

FIGURES = ("first_wrong_step", "lowest_token", "token_auroc")
"""first_wrong_step: how often the step with the lowest sum is the first wrong one; lowest_token: how often the lowest token
lies in it; token_auroc: of a token of the first wrong step against one before it, how often the former is lower."""
COMPARED = (
    ("sft-log-prob", "rft"),
    ("sft-log-prob", "dpo"),
    ("sft-log-prob", "dpo-data-equal"),
    ("sft-log-prob", "scdpo"),
    ("rft", "scdpo"),
    ("dpo", "scdpo"),
    ("dpo-data-equal", "scdpo"),
)


@dataclass(frozen=True, slots=True)
class Localisation:
    """Over `solutions` solutions with a wrong step, of `problems` problems: figures by score, with intervals by bootstrap over
    problems.

    scores: score -> figure (see FIGURES, without token_auroc where no token goes before an error) -> share; differences:
    "B - A" -> figure -> difference on the same solutions; chance: figure -> what guessing gives.
    """

    solutions: int
    problems: int
    scores: Mapping[str, Mapping[str, Estimate]]
    differences: Mapping[str, Mapping[str, Estimate]]
    chance: Mapping[str, float]

    @property
    def figures(self) -> tuple[str, ...]:
        """The figures that there are."""
        return tuple(next(iter(self.scores.values())))


def localisation(credited: Sequence[CreditedSolution]) -> Localisation | None:
    """The figures of the solutions whose first wrong step is known; None where there is none.

    Problems are drawn anew with all their solutions, the same draws for every score, so that differences are paired. Where two
    steps share the lowest sum, the earlier one counts.
    """
    known = [solution for solution in credited if solution.error_step is not None]
    if not known:
        return None
    owners, weights = draw_problems(known)
    drawn = {score: _figures(known, score, owners, weights) for score in known[0].values}
    pairs = [(first, second) for first, second in COMPARED if first in drawn and second in drawn]
    return Localisation(
        solutions=len(known),
        problems=weights.shape[1],
        scores={score: {name: interval(each, len(known)) for name, each in found.items()} for score, found in drawn.items()},
        differences={
            f"{second} - {first}": {
                name: interval(drawn[second][name] - drawn[first][name], len(known)) for name in drawn[first]
            }
            for first, second in pairs
        },
        chance=chance(known),
    )


def chance(known: Sequence[CreditedSolution]) -> dict[str, float]:
    """What guessing a step or a token gives on these solutions, on average."""
    steps = [solution.by_step(next(iter(solution.values))) for solution in known]
    tokens = [sum(map(len, each)) for each in steps]
    return {
        "first_wrong_step": float(np.mean([1 / sum(map(bool, each)) for each in steps])),
        "lowest_token": float(
            np.mean([len(each[s.error_step or 0]) / count for s, each, count in zip(known, steps, tokens, strict=True)])
        ),
        "token_auroc": 0.5,
    }


def lowest_step(solution: CreditedSolution, score: str) -> int:
    """The step with the lowest sum of a score."""
    sums = [(value, step) for step, value in enumerate(solution.step_sums(score)) if value is not None]
    return min(sums)[1]


def _figures(known: Sequence[CreditedSolution], score: str, owners: Array, weights: Array) -> dict[str, Array]:
    """Each figure under every row of weights, which says how often each problem was drawn: [rows]."""
    by_step = np.array([lowest_step(solution, score) == solution.error_step for solution in known], dtype=float)
    by_token = np.zeros(len(known))
    wrong, before = [], []
    for number, solution in enumerate(known):
        steps, error = solution.by_step(score), solution.error_step or 0
        by_token[number] = min((value, step) for step, values in enumerate(steps) for value in values)[1] == error
        wrong += [(value, owners[number]) for value in steps[error]]
        before += [(value, owners[number]) for values in steps[:error] for value in values]
    figures = {
        "first_wrong_step": share(by_step, owners, weights),
        "lowest_token": share(by_token, owners, weights),
    }
    return figures | ({"token_auroc": auroc(np.array(wrong), np.array(before), weights)} if before and wrong else {})


def auroc(low: Array, high: Array, weights: Array) -> Array:
    """How often a value of `low` is below one of `high`, ties counting half, under each row of weights: [rows].

    low, high: [n, 2], values and the column of weights that says how often each was drawn.
    """
    values = np.concatenate([low[:, 0], high[:, 0]])
    owner = np.concatenate([low[:, 1], high[:, 1]]).astype(int)
    is_high = np.arange(len(values)) >= len(low)
    _, rank = np.unique(values, return_inverse=True)
    found = np.empty(len(weights))
    for row, weight in enumerate(weights):
        drawn = weight[owner]
        below = np.bincount(rank, np.where(is_high, 0, drawn))
        above = np.bincount(rank, np.where(is_high, drawn, 0))
        wins = ((np.cumsum(below) - below / 2) * above).sum()
        found[row] = wins / max(1, below.sum() * above.sum())
    return found
