"""Verdicts: what grading says of a solution. Knows no grader (see grading/)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["correct", "wrong", "undecided"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a solution's answer is right, and why one thinks so.

    extracted: the answer found in the text, None where there is none; reason: a few words, empty for "correct".
    Undecided solutions are counted by reason and never become training samples (design.md, invariant 3).
    """

    outcome: Outcome
    extracted: str | None = None
    reason: str = ""

    @property
    def is_correct(self) -> bool:
        return self.outcome == "correct"

    @property
    def is_wrong(self) -> bool:
        return self.outcome == "wrong"
