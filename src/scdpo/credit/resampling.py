"""The bootstrap over problems: whose solutions count how often. Shared by localisation and ProcessBench."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from scdpo.credit.record import CreditedSolution
from scdpo.evaluation.statistics import Estimate, wilson

RESAMPLES = 1000
Array = np.ndarray[Any, np.dtype[Any]]


def draw_problems(solutions: Sequence[CreditedSolution]) -> tuple[Array, Array]:
    """(owners [solutions], weights [1 + RESAMPLES, problems]): the problem of each solution, and how often each is drawn; the
    first row is the sample itself. The same draws at every call."""
    names = {question: place for place, question in enumerate(dict.fromkeys(solution.question for solution in solutions))}
    owners = np.array([names[solution.question] for solution in solutions])
    draws = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    return owners, np.vstack([np.ones(len(names), dtype=draws.dtype), draws])


def share(hits: Array, owners: Array, weights: Array) -> Array:
    """The share of hits among solutions under every row of weights: [rows]. hits: [solutions], 0 or 1."""
    problems = weights.shape[1]
    count = weights @ np.bincount(owners, minlength=problems)
    return (weights @ np.bincount(owners, hits, minlength=problems)) / np.maximum(1, count)


def interval(drawn: Array, n: int, p: float | None = None) -> Estimate:
    """A figure with its 95% percentile interval, from its values under all rows of weights. n, p: as in Estimate."""
    low, high = np.quantile(drawn[1:], [0.025, 0.975])
    return Estimate(float(drawn[0]), float(low), float(high), n, p)


def share_interval(drawn: Array, n: int, problems: int) -> Estimate:
    """`interval` of a share. Where it is 0 or 1 under every draw, which proves little, Wilson's interval over the problems."""
    if drawn.min() == drawn.max() and drawn[0] in (0, 1):
        return replace(wilson(round(drawn[0] * problems), problems), n=n)
    return interval(drawn, n)
