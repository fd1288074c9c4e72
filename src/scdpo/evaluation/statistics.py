"""Intervals: of one accuracy, and of the difference between two models on the same problems. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

Z95 = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share or a difference of shares with its 95% interval, all between -1 and 1, over n problems."""

    value: float
    low: float
    high: float
    n: int

    @property
    def is_resolved(self) -> bool:
        """Whether the interval leaves zero out: only then is a difference called one."""
        return self.low > 0 or self.high < 0


def wilson(right: int, n: int) -> Estimate:
    """A share of right answers with its Wilson 95% interval (Wilson 1927)."""
    if n <= 0:
        raise ValueError("an accuracy needs at least one problem")
    share, spread = right / n, Z95**2 / n
    centre = (share + spread / 2) / (1 + spread)
    half = sqrt(spread * share * (1 - share) + spread**2 / 4) / (1 + spread)
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half), n)


def paired_difference(first: Sequence[bool], second: Sequence[bool]) -> Estimate:
    """accuracy(second) - accuracy(first) on the same problems, with the interval of Agresti and Min (2005).

    Each pair of outcomes counts, and half a problem is added to each of the four cells, which keeps the interval honest where
    few problems differ. The value itself is the plain difference.
    """
    if len(first) != len(second) or not first:
        raise ValueError("a paired difference needs the same problems for both models, at least one")
    n = len(first)
    gained = sum(b and not a for a, b in zip(first, second, strict=True))
    lost = sum(a and not b for a, b in zip(first, second, strict=True))
    total, up, down = n + 2, gained + 0.5, lost + 0.5
    centre = (up - down) / total
    half = Z95 * sqrt((up + down) - (up - down) ** 2 / total) / total
    return Estimate((gained - lost) / n, max(-1.0, centre - half), min(1.0, centre + half), n)
