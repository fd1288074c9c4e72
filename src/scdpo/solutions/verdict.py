"""Verdicts: what grading says of a solution. Knows no grader (see grading/)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Outcome = Literal["correct", "wrong", "undecided"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a solution's answer is right, and why one thinks so.

    extracted: the answer found in the text, None where there is none; rule: how it was found and compared ("box: number"),
    empty where no rule came to decide; reason: a few words, empty for "correct". Undecided solutions are counted by reason
    and never become training samples.
    """

    outcome: Outcome
    extracted: str | None = None
    reason: str = ""
    rule: str = ""

    @property
    def is_correct(self) -> bool:
        return self.outcome == "correct"

    @property
    def is_wrong(self) -> bool:
        return self.outcome == "wrong"

    @property
    def is_guess(self) -> bool:
        """Whether the answer was only guessed at, in a text that states none: its last number, or all of a short one."""
        return self.rule.startswith(("last number", "short text"))

    def to_json(self) -> dict[str, Any]:
        record = {"outcome": self.outcome, "extracted": self.extracted, "reason": self.reason}
        return record | ({"rule": self.rule} if self.rule else {})
