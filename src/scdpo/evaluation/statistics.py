"""Intervals: of one accuracy, and of the difference between two models, on the same problems or on others. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot, sqrt
from typing import Any

Z95 = 1.959963984540054
RESAMPLES = 20_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share or a difference of shares with its 95% interval, all between -1 and 1, over n problems.

    p: of McNemar's exact test, for differences between models on the same problems.
    """

    value: float
    low: float
    high: float
    n: int
    p: float | None = None

    @property
    def is_resolved(self) -> bool:
        """Whether a difference may be called one: the interval leaves zero out, and the test, where there is one, agrees."""
        return (self.low > 0 or self.high < 0) and (self.p is None or self.p < 0.05)

    def to_json(self, name: str) -> dict[str, Any]:
        """The value under its name, and its interval."""
        return {name: round(self.value, 6), "ci95": [round(self.low, 6), round(self.high, 6)]}

    def counted_json(self, name: str) -> dict[str, Any]:
        """The same with the number of problems."""
        return self.to_json(name) | {"n": self.n}

    def paired_json(self) -> dict[str, Any]:
        """A difference between models on the same problems. p keeps its digits: it may be very small."""
        p = None if self.p is None else float(f"{self.p:.6g}")
        return self.counted_json("difference") | {"mcnemar_p": p, "resolved": self.is_resolved}


def wilson(right: int, n: int) -> Estimate:
    """A share of right answers with its Wilson 95% interval (Wilson 1927)."""
    if n <= 0:
        raise ValueError("an accuracy needs at least one problem")
    share, spread = right / n, Z95**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = sqrt(spread * share * (1 - share) + spread**2 / 4) / (1 + spread)
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half), n)


def paired_difference(first: Sequence[bool], second: Sequence[bool]) -> Estimate:
    """accuracy(second) - accuracy(first) on the same problems, with the interval of the paired bootstrap and McNemar's p.

    Problems are drawn again with replacement, each with both its outcomes. How many of them are gained and lost is then
    multinomial, so no problem need really be drawn; the draws are the same at every call. Where few problems differ the
    bootstrap's interval is too short: the exact test guards against that (see Estimate.is_resolved).
    """
    import numpy as np

    if len(first) != len(second) or not first:
        raise ValueError("a paired difference needs the same problems for both models, at least one")
    n = len(first)
    gained = sum(b and not a for a, b in zip(first, second, strict=True))
    lost = sum(a and not b for a, b in zip(first, second, strict=True))
    drawn = np.random.default_rng(0).multinomial(n, [gained / n, lost / n, (n - gained - lost) / n], size=RESAMPLES)
    low, high = np.quantile(drawn[:, 0] - drawn[:, 1], [0.025, 0.975]) / n
    return Estimate((gained - lost) / n, float(low), float(high), n, mcnemar(gained, lost))


def unpaired_difference(first: Estimate, second: Estimate) -> Estimate:
    """second - first, of accuracies on other problems, from their own intervals: the squares of the lengths add (Zou and Donner
    2008; of two Wilson intervals this is Newcombe's 1998, method 10). n: the smaller one's.

    On problems in part the same the interval is longer than it need be: models tend to fail on the same ones.
    """
    value = second.value - first.value
    low = value - hypot(second.value - second.low, first.high - first.value)
    high = value + hypot(second.high - second.value, first.value - first.low)
    return Estimate(value, low, high, min(first.n, second.n))


def mcnemar(gained: int, lost: int) -> float:
    """The two-sided p of McNemar's exact test: of the problems on which two models differ, `gained` went one way and `lost`
    the other."""
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
