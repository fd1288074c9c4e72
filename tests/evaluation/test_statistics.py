"""Intervals: numbers worked out by hand, coverage by simulation, and words that follow them."""

import random

import pytest

from scdpo.evaluation.statistics import Estimate, paired_difference, wilson
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


def test_a_paired_difference_by_hand():
    """100 problems, 15 gained and 5 lost: value 0.10; with half a problem more in each cell (15.5 - 5.5) / 102 = 0.098039
    +- 1.959964 sqrt(21 - 100 / 102) / 102 = 0.085978."""
    first = [True] * 40 + [False] * 40 + [True] * 5 + [False] * 15
    second = [True] * 40 + [False] * 40 + [False] * 5 + [True] * 15
    estimate = paired_difference(first, second)
    assert estimate.value == pytest.approx(0.10)
    assert (estimate.low, estimate.high) == pytest.approx((0.098039 - 0.085978, 0.098039 + 0.085978), abs=1e-5)
    assert estimate.is_resolved


def test_equal_models_are_not_resolved():
    outcomes = [True, False] * 50
    assert not paired_difference(outcomes, outcomes).is_resolved


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
