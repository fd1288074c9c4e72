"""Answers in JSON-lines files: each line graded, in order, with what cannot be graded named by file and line."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from scdpo.errors import GradingError
from scdpo.grading.grade import as_answer, grade
from scdpo.grading.symbolic import SymbolicGrader
from scdpo.jsonlines import JsonLine, read_json_lines
from scdpo.solutions.verdict import Verdict

CHUNK = 2000
VERDICT_FIELDS = ("verdict", "extracted", "rule", "reason")


@dataclass(frozen=True, slots=True)
class GradedLine:
    """One line of a file with its verdict. flaw: why it could not be graded, with file and line; empty where it was."""

    line: JsonLine
    verdict: Verdict
    flaw: str = ""

    def to_json(self) -> dict[str, Any]:
        """All fields of the line and the verdict's; for a line that is not an object, its number and the verdict."""
        fields = dict(self.line.record) if self.line.record is not None else {"line": self.line.number}
        verdict = self.verdict
        values = (verdict.outcome, verdict.extracted, verdict.rule, verdict.reason)
        return fields | dict(zip(VERDICT_FIELDS, values, strict=True))


@dataclass(frozen=True)
class LineGrader:
    """How the lines of a file are graded: the names of the fields, and whether predictions are whole solutions.

    Each thread that grades has a worker process of its own for symbolic mathematics.
    """

    gold: str = "gold"
    prediction: str = "prediction"
    full_text: bool = False
    local: threading.local = field(default_factory=threading.local)
    graders: list[SymbolicGrader] = field(default_factory=list)

    def grade(self, line: JsonLine) -> GradedLine:
        """The verdict on one line; one that cannot be graded is undecided and carries the flaw."""
        flaw = line.flaw or self.flaw(line.record or {})
        if flaw or line.record is None:
            return GradedLine(line, Verdict("undecided", None, f"not graded: {flaw}"), f"{line.where}: {flaw}")
        prediction, gold = line.record[self.prediction], line.record[self.gold]
        return GradedLine(line, grade(prediction, gold, self.full_text, ask=self.symbolic().ask))

    def symbolic(self) -> SymbolicGrader:
        if not hasattr(self.local, "grader"):
            self.local.grader = SymbolicGrader()
            self.graders.append(self.local.grader)
        return self.local.grader

    def flaw(self, record: Mapping[str, Any]) -> str:
        """Why a record cannot be graded, or nothing."""
        for name, what, option in ((self.gold, "gold answer", "--gold"), (self.prediction, "prediction", "--prediction")):
            if name not in record:
                return f'no field "{name}" with the {what}; name the field with {option}'
            value = record[name]
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                return f'"{name}" is {_kind(value)}, no text and no number; give the {what} as one of them'
            if isinstance(value, float) and not math.isfinite(value):
                return f'"{name}" is {value}, no number that an answer can be'
        if not as_answer(record[self.gold]).strip():
            return f'"{self.gold}" is empty; every line needs a gold answer'
        return ""

    def close(self) -> None:
        for grader in self.graders:
            grader.close()


def grade_lines(path: str | Path, grader: LineGrader, workers: int = 1, keep_going: bool = False) -> Iterator[GradedLine]:
    """The lines of a file graded, in their order, by `workers` threads with a symbolic process each.

    Raises GradingError where the file cannot be read, and for the first line that cannot be graded unless `keep_going`.
    """
    try:
        lines = read_json_lines(path)
        with ThreadPoolExecutor(workers) as pool:
            while chunk := list(islice(lines, CHUNK)):
                graded = pool.map(grader.grade, chunk) if workers > 1 else map(grader.grade, chunk)
                for line in graded:
                    if line.flaw and not keep_going:
                        raise GradingError(f"{line.flaw} (--keep-going grades the rest)")
                    yield line
    except OSError as error:
        raise GradingError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error


def _kind(value: Any) -> str:
    names = {type(None): "null", bool: "true or false", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)
