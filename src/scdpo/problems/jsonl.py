"""Problems in JSON-lines files: reading with errors that name file and line, and writing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scdpo.errors import ProblemError
from scdpo.problems.problem import Problem
from scdpo.problems.step_oracle import are_facts


def read_problems(path: str | Path) -> list[Problem]:
    """The problems of a file: one JSON object a line with "question", "answer", and optionally "id", "solution", "facts".

    Raises ProblemError with file and line for broken JSON, a missing field or an id that comes twice.
    """
    problems: list[Problem] = []
    lines: dict[str, int] = {}
    try:
        texts = Path(path).expanduser().read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ProblemError(f"cannot read problems from {path}: {reason}") from error
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        problem = parse_problem(text, f"{path}:{number}", f"line-{number}")
        if problem.id in lines:
            raise ProblemError(f'{path}:{number}: id "{problem.id}" is already on line {lines[problem.id]}; ids must differ')
        lines[problem.id] = number
        problems.append(problem)
    if not problems:
        raise ProblemError(f"{path}: no problems in this file; it needs one JSON object a line (see docs/problems.md)")
    return problems


def parse_problem(text: str, where: str, fallback_id: str) -> Problem:
    """One line as a problem. Raises ProblemError naming `where`."""
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise ProblemError(f"{where}: broken JSON ({error.msg} at column {error.colno}); mend or remove the line") from error
    if not isinstance(record, dict):
        raise ProblemError(f"{where}: not a JSON object; every line is a problem (see docs/problems.md)")
    for name, what in (("question", "question"), ("answer", "gold answer")):
        if not _text(record.get(name)):
            raise ProblemError(f'{where}: no "{name}"; every problem needs a {what} (see docs/problems.md)')
    solution, facts = record.get("solution"), record.get("facts")
    if not isinstance(solution, str | None):
        raise ProblemError(f'{where}: "solution" is no text; give the worked solution, one step a line, or leave it out')
    if facts is not None and not are_facts(facts):
        raise ProblemError(f'{where}: "facts" that the oracle cannot read; mend them or leave them out (see docs/problems.md)')
    return Problem(
        id=_text(record.get("id")) or fallback_id,
        question=_text(record["question"]),
        answer=_text(record["answer"]),
        solution=solution,
        facts=facts,
    )


def problem_lines(problems: Iterable[Problem]) -> str:
    """The problems as JSON lines."""
    return "".join(json.dumps(problem.to_json(), ensure_ascii=False) + "\n" for problem in problems)


def _text(value: Any) -> str:
    """A string or finite number as text; anything else as nothing."""
    if isinstance(value, str):
        return value.strip()
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return str(value) if is_number else ""
