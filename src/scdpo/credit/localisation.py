"""Localisation: how well a score of tokens finds the first wrong step, with intervals. Numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scdpo.evaluation.statistics import Estimate

FIGURES = ("first_wrong_step", "lowest_token", "token_auroc")
"""first_wrong_step: how often the step with the lowest sum is the first wrong one; lowest_token: how often the lowest token
lies in it; token_auroc: of a token of the first wrong step against one before it, how often the former is lower."""


@dataclass(frozen=True, slots=True)
class Localisation:
    """Over `solutions` wrong solutions of `problems` problems: figures by score, with intervals by bootstrap over problems.

    scores: score -> figure (see FIGURES) -> share; differences: "B - A" -> figure -> difference on the same solutions;
    chance: figure -> what guessing gives.
    """

    solutions: int
    problems: int
    scores: Mapping[str, Mapping[str, Estimate]]
    differences: Mapping[str, Mapping[str, Estimate]]
    chance: Mapping[str, float]
