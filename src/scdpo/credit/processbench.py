"""ProcessBench's task (Zheng et al. 2024, arXiv 2412.06559): name the first wrong step of a solution, or say there is none.

A score of tokens solves it by a threshold: the first step whose sum lies below it is the wrong one. Numbers in, numbers out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scdpo.credit.record import CreditedSolution
from scdpo.credit.resampling import Array, draw_problems, interval, share, share_interval
from scdpo.evaluation.statistics import Estimate

CANDIDATES = 200
"""Thresholds tried, at quantiles of the steps' sums."""


@dataclass(frozen=True, slots=True)
class ProcessBenchResult:
    """erroneous: how often the first wrong step is named, of the solutions that have one; correct: how often "none" is said of
    those that have none; f1: their harmonic mean, with a bootstrap interval over problems; thresholds: in nats, one for each
    half of the problems (see processbench), or the given one."""

    erroneous: Estimate
    correct: Estimate
    f1: Estimate
    thresholds: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "f1": self.f1.counted_json("f1"),
            "first_wrong_step": self.erroneous.counted_json("rate"),
            "no_wrong_step": self.correct.counted_json("rate"),
            "thresholds": list(self.thresholds),
        }


def processbench(credited: Sequence[CreditedSolution], score: str, threshold: float | None = None) -> ProcessBenchResult | None:
    """The figures of the solutions whose label is known; None where one of the kinds is missing.

    Without a threshold, the problems are halved and each half is judged with the threshold that gives the other the best F1: no
    solution is judged by a threshold that has seen it. None too where a half lacks a kind. The intervals hold the thresholds
    fixed.
    """
    known = [solution for solution in credited if solution.error_step is not None or solution.wrong == -1]
    labels = np.array([-1 if solution.error_step is None else solution.error_step for solution in known])
    if not (labels >= 0).any() or not (labels < 0).any():
        return None
    sums = [[value if value is not None else np.inf for value in solution.step_sums(score)] for solution in known]
    half = np.array([hashlib.sha256(solution.question.encode()).digest()[0] % 2 for solution in known])
    told = np.empty(len(known), dtype=int)
    thresholds = []
    for part in (0, 1) if threshold is None else (None,):
        mine = half >= 0 if part is None else half == part
        if threshold is None and not ((labels[~mine] >= 0).any() and (labels[~mine] < 0).any()):
            return None
        best = best_threshold(sums, labels, ~mine) if threshold is None else threshold
        thresholds.append(best)
        told[mine] = [first_below(each, best) for each, is_mine in zip(sums, mine, strict=True) if is_mine]
    return _figures(known, labels, told == labels, tuple(thresholds))


def first_below(sums: Sequence[float], threshold: float) -> int:
    """The first step whose sum lies below the threshold, -1 for none."""
    return next((step for step, value in enumerate(sums) if value < threshold), -1)


def best_threshold(sums: Sequence[Sequence[float]], labels: Array, where: Array) -> float:
    """The threshold that gives the best F1 on the solutions `where`, of both kinds."""
    own = [each for each, is_in in zip(sums, where, strict=True) if is_in]
    values = np.array([value for each in own for value in each if np.isfinite(value)])
    tried = np.unique(np.quantile(values, np.linspace(0, 1, CANDIDATES)))
    truth = labels[where]
    scored = [_f1(np.array([first_below(each, at) for each in own]) == truth, truth >= 0) for at in tried]
    return float(tried[int(np.argmax(scored))])


def _f1(hits: Array, erroneous: Array) -> float:
    return harmonic(hits[erroneous].mean(), hits[~erroneous].mean())


def harmonic(first: float, second: float) -> float:
    return 2 * first * second / (first + second) if first + second else 0.0


def _figures(
    known: Sequence[CreditedSolution], labels: Array, hits: Array, thresholds: tuple[float, ...]
) -> ProcessBenchResult:
    owners, weights = draw_problems(known)
    kinds = (labels >= 0, labels < 0)
    erroneous, correct = (share(hits[kind], owners[kind], weights) for kind in kinds)
    f1 = np.array([harmonic(*pair) for pair in zip(erroneous, correct, strict=True)])
    counts = [int(kind.sum()) for kind in kinds]
    return ProcessBenchResult(
        share_interval(erroneous, counts[0], weights.shape[1]),
        share_interval(correct, counts[1], weights.shape[1]),
        interval(f1, len(known)),
        thresholds,
    )
