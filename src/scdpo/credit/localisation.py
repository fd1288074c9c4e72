"""Localisation: how well a score of tokens finds the first wrong step, with intervals. Numbers in, numbers out.

The paper shows on examples that SCDPO's reward marks the wrong tokens; this puts a number on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scdpo.credit.record import COMPARED, CreditedSolution
from scdpo.credit.resampling import Array, draw_problems, interval, share, share_interval
from scdpo.evaluation.statistics import Estimate, mcnemar


def measure(figure: str) -> str:
    """What a figure of localisation is: a rate, or the area under a curve."""
    return "auroc" if figure == "token_auroc" else "rate"


@dataclass(frozen=True, slots=True)
class Localisation:
    """Over `solutions` solutions with a wrong step, of `problems` problems: figures by score, with intervals by bootstrap over
    problems.

    Figures: first_wrong_step, how often the step with the lowest sum is the first wrong one; lowest_token, how often the lowest
    token lies in it; token_auroc, of a token of the first wrong step against one before it, how often the former is lower, left
    out where no token goes before an error. scores: score -> figure -> share; differences: "B - A" -> figure -> difference on
    the same solutions; chance: figure -> what guessing gives.
    """

    solutions: int
    problems: int
    scores: Mapping[str, Mapping[str, Estimate]]
    differences: Mapping[str, Mapping[str, Estimate]]
    chance: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """The figures of each score, with what they are of, what chance gives, and the paired differences."""
        chance = {figure: {measure(figure): round(value, 6)} for figure, value in self.chance.items()}
        scores = {
            score: {figure: value.to_json(measure(figure)) for figure, value in figures.items()}
            for score, figures in self.scores.items()
        }
        differences = {
            name: {figure: value.to_json("difference") | {"resolved": value.is_resolved} for figure, value in figures.items()}
            for name, figures in self.differences.items()
        }
        return {
            "solutions": self.solutions,
            "problems": self.problems,
            "chance": chance,
            **scores,
            "differences": differences,
        }

    @property
    def figures(self) -> tuple[str, ...]:
        """The figures that there are."""
        return tuple(next(iter(self.scores.values())))


@dataclass(frozen=True, slots=True)
class Scored:
    """One score. hits: figure, of those that are rates -> [solutions], 0 or 1; drawn: figure -> its value under every draw."""

    hits: Mapping[str, Array]
    drawn: Mapping[str, Array]


def localisation(credited: Sequence[CreditedSolution]) -> Localisation | None:
    """The figures of the solutions whose first wrong step is known; None where there is none.

    Problems are drawn again with all their solutions, the same draws for every score, so that differences are paired. Where two
    steps share the lowest sum, the earlier one counts. p of a difference of rates: the exact sign test over problems, of which
    some have more hits under one score and some under the other.
    """
    known = [solution for solution in credited if solution.error_step is not None]
    if not known:
        return None
    owners, weights = draw_problems(known)
    scored = {score: _scored(known, score, owners, weights) for score in known[0].values}

    def difference(first: Scored, second: Scored, figure: str) -> Estimate:
        p = sign_test(first.hits[figure], second.hits[figure], owners) if figure in first.hits else None
        return interval(second.drawn[figure] - first.drawn[figure], len(known), p)

    return Localisation(
        solutions=len(known),
        problems=weights.shape[1],
        scores={
            score: {name: share_interval(drawn, len(known), weights.shape[1]) for name, drawn in each.drawn.items()}
            for score, each in scored.items()
        },
        differences={
            f"{b} - {a}": {name: difference(scored[a], scored[b], name) for name in scored[a].drawn}
            for a, b in compared(list(scored))
        },
        chance=chance(known),
    )


def compared(scores: Sequence[str]) -> list[tuple[str, str]]:
    """(first, second) of the differences between these scores: the usual ones, and each other model against the first score."""
    usual = [pair for pair in COMPARED if set(pair) <= set(scores)]
    named = {name for pair in COMPARED for name in pair}
    return [*usual, *((scores[0], score) for score in scores[1:] if score not in named or scores[0] not in named)]


def sign_test(first: Array, second: Array, owners: Array) -> float:
    """p of the exact sign test over problems. first, second: [solutions], 0 or 1."""
    gain = np.bincount(owners, second - first)
    return mcnemar(int((gain > 0).sum()), int((gain < 0).sum()))


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


def _scored(known: Sequence[CreditedSolution], score: str, owners: Array, weights: Array) -> Scored:
    """weights: how often each problem was drawn, a row a draw."""
    by_step = np.array([solution.lowest_step(score) == solution.error_step for solution in known], dtype=float)
    by_token = np.zeros(len(known))
    wrong, before = [], []
    for number, solution in enumerate(known):
        steps, error = solution.by_step(score), solution.error_step or 0
        by_token[number] = min((value, step) for step, values in enumerate(steps) for value in values)[1] == error
        wrong += [(value, owners[number]) for value in steps[error]]
        before += [(value, owners[number]) for values in steps[:error] for value in values]
    hits = {"first_wrong_step": by_step, "lowest_token": by_token}
    drawn = {name: share(each, owners, weights) for name, each in hits.items()}
    if before and wrong:
        drawn["token_auroc"] = auroc(np.array(wrong), np.array(before), weights)
    return Scored(hits, drawn)


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
