"""Our own form of problems: JSON-lines files with "question" and "answer". Reading, with what is wrong, and writing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from scdpo.errors import ProblemError
from scdpo.jsonlines import read_json_lines
from scdpo.problems.problem import Problem
from scdpo.problems.step_oracle import are_facts

SOLUTION_FIELDS = ("solution", "response", "completion", "prediction", "output", "text")
"""Under which names files of many origins hold a solution, the likeliest first."""


class ProblemFile:
    """The problems of a file that `problem_lines` wrote, read again whenever they are asked for, so that none is held.

    Iterating raises ProblemError with file and line for what is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[Problem]:
        for line in read_json_lines(self.path):
            if line.record is None:
                raise ProblemError(f"{line.where}: {line.flaw}")
            yield parse_problem(line.record, line.where, f"line-{line.number}")

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        with self.path.open("rb") as file:
            return sum(not line.isspace() for line in file)

    def ids(self) -> Iterator[str]:
        return (problem.id for problem in self)


def parse_problem(record: Mapping[str, Any], where: str, fallback_id: str) -> Problem:
    """One record as a problem: "question", "answer", and optionally "id", "solution", "language", "facts", "set".

    Raises ProblemError naming `where`.
    """
    for name, what in (("question", "question"), ("answer", "gold answer")):
        if not as_text(record.get(name)):
            raise ProblemError(f'{where}: no "{name}"; every problem needs a {what} (see docs/problems.md)')
    solution, facts, language = record.get("solution"), record.get("facts"), record.get("language")
    if not isinstance(solution, str | None):
        raise ProblemError(f'{where}: "solution" is not text; give the worked solution, one step a line, or leave it out')
    if facts is not None and not are_facts(facts):
        raise ProblemError(f'{where}: "facts" that the oracle cannot read; mend them or leave them out (see docs/problems.md)')
    return Problem(
        id=as_text(record.get("id")) or fallback_id,
        question=as_text(record["question"]),
        answer=as_text(record["answer"]),
        solution=solution,
        language=as_text(language) or None,
        facts=facts,
        set=as_text(record.get("set")) or None,
    )


def problem_lines(problems: Iterable[Problem]) -> str:
    """The problems as JSON lines."""
    return "".join(json.dumps(problem.to_json(), ensure_ascii=False) + "\n" for problem in problems)


def as_text(value: Any) -> str:
    """A string or finite number as text, whole numbers without a point; anything else as nothing."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return ""
    return str(int(value)) if value == int(value) else repr(value)
