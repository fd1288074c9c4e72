"""Pooling over seeds: the analysis of variance worked out by hand, and coverage by simulation of seeds and problems."""

from itertools import count
from math import sqrt

import numpy as np
import pytest
from scipy.stats import t

from scdpo.evaluation.pooling import pooled_accuracy, pooled_difference
from scdpo.evaluation.statistics import Estimate, paired_difference, unpaired_difference, wilson


def seed(*right, start=0):
    """One seed's outcomes on problems named from `start` on."""
    return {f"problem {place}": bool(outcome) for place, outcome in enumerate(right, start)}


def test_the_same_problems_by_hand():
    """Three seeds on 100 problems: means 3/4, 3/4, 2/4, mean 2/3, S^2 = 1/48. Two seeds' values covary by -25/4 / 99, 25/2 / 99
    and 25/2 / 99, so C = 0.0631313 / 100. 50 problems have a wrong answer with some seed: t with 49, 2.00958, and with 2,
    4.30265. Half length: sqrt(18.5128 / 144 + 4.03840 * 0.000631313) = 0.362092."""
    change = [seed(*[1] * 50, *[third] * 25, *[fourth] * 25) for third, fourth in ((1, 0), (0, 1), (0, 0))]
    pooled = pooled_difference([dict.fromkeys(each, False) for each in change], change)
    assert (pooled.seeds, pooled.sharing, pooled.estimate.n) == (3, "the same", 100)
    assert pooled.estimate.value == pytest.approx(2 / 3) and pooled.deviation == pytest.approx(sqrt(1 / 48))
    assert pooled.estimate.high - pooled.estimate.value == pytest.approx(0.362092, rel=1e-5)


def test_the_same_problems_are_an_analysis_of_variance():
    """S^2 / k + C is (MS_seeds + MS_problems - MS_residual) / (kn), of ANOVA's mean squares."""
    values = np.random.default_rng(4).random((4, 60)) < np.linspace(0.1, 0.9, 60)
    k, n = values.shape
    by_seed, by_problem, whole = values.mean(1), values.mean(0), values.mean()
    ms_seeds = n * ((by_seed - whole) ** 2).sum() / (k - 1)
    ms_problems = k * ((by_problem - whole) ** 2).sum() / (n - 1)
    residual = values - by_seed[:, None] - by_problem + whole
    ms_residual = (residual**2).sum() / ((k - 1) * (n - 1))
    pooled = pooled_accuracy([seed(*row) for row in values])
    half = sqrt(t.ppf(0.975, 3) ** 2 * ms_seeds / (k * n) + t.ppf(0.975, 59) ** 2 * (ms_problems - ms_residual) / (k * n))
    assert pooled.estimate.high - pooled.estimate.value == pytest.approx(half, rel=0.02)


def test_other_problems_are_students_interval():
    """Seeds' means 0.2, 0.5, 0.8 on 10 problems each: 0.5 +- 4.3027 * 0.3 / sqrt(3) = 0.7452, cut at 0 and 1."""
    pooled = pooled_accuracy([seed(*[1] * right + [0] * (10 - right), start=10 * right) for right in (2, 5, 8)])
    assert (pooled.sharing, pooled.estimate.n) == ("other", 30)
    assert (pooled.estimate.low, pooled.estimate.high) == (0, 1)
    change = [seed(*[1] * right + [0] * (100 - right), start=100 * right) for right in (2, 5, 8)]
    nothing = [dict.fromkeys(each, False) for each in change]
    estimate = pooled_difference(nothing, change).estimate
    assert estimate.high - 0.05 == pytest.approx(4.30265 * 0.03 / sqrt(3), rel=1e-4)


def test_partly_the_same_problems_lie_between():
    """The more problems seeds share, the less they say together, and the longer is the interval of equal seeds' means."""
    outcomes = [n % 3 > 0 for n in range(300)]
    lengths = []
    for step in (0, 150, 300):
        pooled = pooled_accuracy([seed(*outcomes, start=step * number) for number in range(4)])
        lengths.append(pooled.estimate.high - pooled.estimate.low)
    assert lengths == sorted(lengths, reverse=True) and lengths[0] > 1.8 * lengths[2]


def test_never_shorter_than_over_the_problems_alone():
    """Seeds with one mean by chance: the interval is still that of 600 problems."""
    pooled = pooled_accuracy([seed(*[1] * 140 + [0] * 60, start=200 * number) for number in range(3)])
    whole = wilson(420, 600)
    assert pooled.deviation == pytest.approx(0)
    assert pooled.estimate.high - pooled.estimate.low == pytest.approx(whole.high - whole.low, rel=0.02)


def test_one_seed_says_so():
    first, second = seed(1, 0, 0, 0, 1, 1), seed(1, 1, 1, 1, 1, 1)
    pooled = pooled_difference([first], [second])
    assert not pooled.is_over_seeds and pooled.deviation is None
    assert pooled.estimate == paired_difference(list(first.values()), list(second.values()))
    assert pooled_accuracy([first]).estimate == wilson(3, 6)


def test_pairs_are_found_by_their_question():
    """A seed's two models may have their answers in another order; other problems cannot be paired."""
    first = [seed(1, 0, 0), seed(0, 0, 1, start=3)]
    second = [dict(reversed(each.items())) for each in first]
    assert pooled_difference(first, second).estimate.value == 0
    assert not pooled_difference(first, second).is_resolved
    assert pooled_difference(first[:1], second[:1]).estimate.p == 1.0
    with pytest.raises(ValueError, match="same problems"):
        pooled_difference(first, second[::-1])


def test_what_rests_on_four_problems_is_not_resolved():
    """One gained in each of four seeds of 60 and none lost: McNemar's p of 4 against 0 is 0.125, and Student's t_3 agrees."""
    first = [seed(*[0] * 60, start=60 * number) for number in range(4)]
    second = [seed(1, *[0] * 59, start=60 * number) for number in range(4)]
    assert not pooled_difference(first, second).is_resolved


def test_nothing_wrong_is_no_certainty():
    pooled = pooled_accuracy([seed(*[1] * 50), seed(*[1] * 50)])
    assert pooled.estimate == wilson(50, 50)


def drawn(rng, seeds, problems, shared, gain):
    """Outcomes of two models a seed; where they answer rightly depends on problem and seed. Returns (first, second).

    shared: the share of the problems that all seeds have; gain: mean and deviation over seeds of the second model's, in logits.
    """
    numbers = count()
    hardness = {}

    def take(size):
        names = [f"problem {next(numbers)}" for _ in range(size)]
        hardness.update(zip(names, rng.normal(0, 2, size), strict=True))
        return names

    common, first, second = take(round(shared * problems)), [], []
    for _ in range(seeds):
        names = common + take(problems - len(common))
        ease = 0.8 + rng.normal(0, 0.4) - np.array([hardness[name] for name in names])
        luck = rng.logistic(size=problems)
        other = np.where(rng.random(problems) < 0.15, rng.logistic(size=problems), luck)
        first.append(dict(zip(names, (ease > luck).tolist(), strict=True)))
        second.append(dict(zip(names, (ease + rng.normal(*gain) > other).tolist(), strict=True)))
    return first, second


@pytest.mark.parametrize("shared", [1.0, 0.5, 0.0], ids=["same problems", "half the same", "other problems"])
@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_the_pooled_intervals_cover(seeds, shared):
    """Of 250 simulated comparisons the 95% intervals hold the true accuracy and the true difference in 92% or more.

    The truth is of all seeds and problems, here the mean over very many. By luck alone 95% would be 91.6% once in a hundred.
    """
    gain = (0.5, 0.15)
    rng = np.random.default_rng(100 * seeds + round(10 * shared))
    ease = rng.normal(0.8, sqrt(0.4**2 + 2**2), 1_000_000)
    true = np.mean(1 / (1 + np.exp(-ease)))
    change = np.mean(1 / (1 + np.exp(-ease - rng.normal(*gain, ease.size)))) - true
    held = np.zeros(2)
    for _ in range(250):
        first, second = drawn(rng, seeds, 120, shared, gain)
        estimates = pooled_accuracy(first).estimate, pooled_difference(first, second).estimate
        held += [each.low <= at <= each.high for each, at in zip(estimates, (true, change), strict=True)]
    assert (held / 250 >= 0.915).all(), held / 250


def test_unpaired_difference_by_hand():
    """Newcombe's (1998) own example (a), 56/70 against 48/80: 0.2000 [0.0524, 0.3339]."""
    estimate = unpaired_difference(wilson(48, 80), wilson(56, 70))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)
    assert estimate.n == 70 and estimate.is_resolved
    assert not unpaired_difference(Estimate(0.5, 0.4, 0.6, 9), Estimate(0.6, 0.5, 0.7, 9)).is_resolved
