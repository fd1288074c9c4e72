"""Intervals: numbers worked out by hand, coverage by simulation, and words that follow them."""

import random

import numpy as np
import pytest
from scipy.stats import bootstrap

from scdpo.evaluation.statistics import Estimate, mcnemar, paired_difference, wilson
from scdpo.report.result import call


def test_wilson_by_hand():
    """8 of 10: (0.8 + 0.192073) / 1.384146 = 0.716740 +- sqrt(0.0614632 + 0.0092230) / 1.384146 = 0.226578 (z = 1.959964)."""
    estimate = wilson(8, 10)
    assert (estimate.value, estimate.n) == (0.8, 10)
    assert (estimate.low, estimate.high) == pytest.approx((0.490162, 0.943318), abs=1e-4)


@pytest.mark.parametrize("right", [0, 50])
def test_wilson_at_the_ends(right):
    estimate = wilson(right, 50)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.high - estimate.low > 0.05


def outcomes(both, neither, lost, gained):
    """The outcomes of two models on problems that both, none, the first or the second of them answers rightly."""
    first = [True] * both + [False] * neither + [True] * lost + [False] * gained
    return first, [True] * both + [False] * neither + [False] * lost + [True] * gained


def test_a_paired_difference_is_the_bootstraps():
    """100 problems, 15 gained and 5 lost: 0.10, with the percentile interval of scipy's bootstrap over problems."""
    first, second = outcomes(40, 40, 5, 15)
    estimate = paired_difference(first, second)
    assert estimate.value == pytest.approx(0.10)
    change = np.subtract(second, first, dtype=float)
    theirs = bootstrap((change,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high), abs=0.0101)  # a problem of 100


def test_mcnemar_by_hand():
    """15 of 20 changed problems one way: 2 P(X >= 15), X binomial(20, 1/2), = 2 (15504 + 4845 + 1140 + 190 + 20 + 1) / 2^20."""
    assert mcnemar(15, 5) == pytest.approx(2 * 21700 / 2**20)
    assert mcnemar(5, 15) == mcnemar(15, 5)
    assert mcnemar(0, 0) == 1.0
    assert paired_difference(*outcomes(40, 40, 5, 15)).p == mcnemar(15, 5)


def test_few_changed_problems_resolve_nothing():
    """Five gained and none lost: the bootstrap leaves zero out, but p = 2 / 2^5 = 0.0625."""
    estimate = paired_difference(*outcomes(50, 45, 0, 5))
    assert estimate.low > 0 and estimate.p == pytest.approx(0.0625)
    assert not estimate.is_resolved


def test_equal_models_are_not_resolved():
    right = [True, False] * 50
    assert not paired_difference(right, right).is_resolved


def test_the_paired_interval_covers():
    """Of 400 simulated comparisons with a true difference of 0.05, the 95% interval holds it in 92% to 98%."""
    rng = random.Random(3)
    held = 0
    for _ in range(400):
        first, second = [], []
        for _ in range(300):
            draw = rng.random()
            first.append(draw < 0.55)
            second.append(draw < 0.45 or 0.55 <= draw < 0.70)
        estimate = paired_difference(first, second)
        held += estimate.low <= 0.05 <= estimate.high
    assert 0.92 <= held / 400 <= 0.98


def test_different_problems_cannot_be_paired():
    with pytest.raises(ValueError, match="same problems"):
        paired_difference([True], [True, False])


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.01, 0.03, "SCDPO is better than SFT"),
        (-0.03, -0.01, "SCDPO is worse than SFT"),
        (-0.01, 0.03, "not resolved"),
    ],
)
def test_words_follow_the_interval(low, high, words):
    assert call(Estimate((low + high) / 2, low, high, 100), "scdpo", "sft") == words
