"""A problem: a question with its gold answer, and what else its source knows of it.

Knows no model, no tokens and no files (see jsonl and source).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

NO_ANSWER = "not given"
"""The gold answer of a problem that has none, because nothing grades by it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A question and its gold answer.

    solution: a worked solution, the text that SFT trains on; None where the source has none. language: of question and
    solution, as a code ("en", "zh"); None where the source does not say.
    facts: what a generator knows of the problem's quantities (see step_oracle); None elsewhere. set: which of several sources
    it is from; None where there is one.
    """

    id: str
    question: str
    answer: str
    solution: str | None = None
    language: str | None = None
    facts: Mapping[str, Any] | None = None
    set: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values, without the fields that are not set."""
        return {name: value for name, value in asdict(self).items() if value is not None}
