"""`scdpo grade FILE`: verdicts on the answers in a JSON-lines file, and their summary."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field
from rich.console import Console
from rich.table import Table

from scdpo.cli.files import progress_bar, written
from scdpo.cli.options import OutFile, Shown
from scdpo.cores import usable_cores
from scdpo.errors import GradingError
from scdpo.evaluation.statistics import wilson
from scdpo.grading.files import GradedLine, LineGrader, grade_lines
from scdpo.settings import Settings

ROWS_SHOWN = 10


class Grade(Settings):
    """Grade the answers in a JSON-lines file: correct, wrong or undecided, each with the rule and the reason.

    A line is an object with a gold answer and a prediction, as {"gold": "36", "prediction": "36.0"}; docs/grading.md says how
    they are compared.
    """

    file: Annotated[str, Shown(is_positional=True)]
    """JSON lines with a gold answer and a prediction each."""
    out: OutFile = None
    """Write each line to this file, with verdict, extracted, rule and reason."""
    gold: Annotated[str, Shown("FIELD")] = "gold"
    """The field of the gold answer."""
    prediction: Annotated[str, Shown("FIELD")] = "prediction"
    """The field of the prediction."""
    full_text: bool = False
    """The prediction is a whole solution, not only its answer."""
    keep_going: bool = False
    """Name lines that cannot be graded, and grade the rest."""
    workers: int | None = Field(None, ge=1)
    """Worker processes (default: the usable cores)."""


@dataclass
class Summary:
    """Counts of a graded file. rules: of the lines that are correct or wrong; reasons: of the undecided ones."""

    outcomes: Counter[str] = field(default_factory=Counter)
    rules: Counter[tuple[str, str]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    flawed: int = 0

    def add(self, line: GradedLine) -> None:
        verdict = line.verdict
        self.outcomes[verdict.outcome] += 1
        self.flawed += bool(line.flaw)
        if verdict.outcome == "undecided":
            self.reasons["not graded (named above)" if line.flaw else verdict.reason] += 1
        else:
            self.rules[verdict.rule, verdict.outcome] += 1


def grade(options: Grade, console: Console) -> None:
    """Grade the file, write each line with its verdict to `out` (whole or not at all), and print the summary.

    Raises GradingError as `grade_lines` does, and where the file holds nothing.
    """
    path, out, workers = options.file, options.out, options.workers or usable_cores()
    grader = LineGrader(options.gold, options.prediction, options.full_text)
    summary = Summary()
    try:
        with progress_bar(path, console, "grading") as advance, written(out) as write:
            for line in grade_lines(path, grader, workers, options.keep_going):
                if line.flaw:
                    print(f"scdpo: {line.flaw}", file=sys.stderr)
                write(json_line(line))
                summary.add(line)
                advance(line.line.end)
            if not summary.outcomes:
                raise GradingError(
                    f'{path} is empty; it needs one JSON object a line with "{grader.gold}", "{grader.prediction}"'
                )
    finally:
        grader.close()
    print_summary(summary, console)
    if out:
        console.print(f"each line with its verdict: {out}")


def json_line(line: GradedLine) -> str:
    """A graded line as JSON; characters that UTF-8 cannot hold (lone surrogates) stay escaped."""
    text = json.dumps(line.to_json(), ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(line.to_json())
    return text + "\n"


def print_summary(summary: Summary, console: Console) -> None:
    """Verdicts with their shares, and what they rest on."""
    total = sum(summary.outcomes.values())
    table = Table(box=None, pad_edge=False)
    for column, justify in (("verdict", "left"), ("lines", "right"), ("share, 95%", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for outcome in ("correct", "wrong", "undecided"):
        share = wilson(summary.outcomes[outcome], total)
        interval = f"{100 * share.value:5.1f}% [{100 * share.low:.1f}, {100 * share.high:.1f}]"
        table.add_row(outcome, f"{summary.outcomes[outcome]:,}", interval)
    console.print(table)
    for title, counts in (
        (
            "decided by (where the answer stood: how it was compared)",
            {f"{rule}, {o}": n for (rule, o), n in summary.rules.items()},
        ),
        ("undecided because", dict(summary.reasons)),
    ):
        if counts:
            console.print(f"\n{title}")
            rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            for name, count in rows[:ROWS_SHOWN]:
                console.print(f"  {count:>7,}  {name}", highlight=False, markup=False)
            if len(rows) > ROWS_SHOWN:
                console.print(f"  {sum(count for _, count in rows[ROWS_SHOWN:]):>7,}  others")
    if summary.flawed:
        console.print(f"\n{summary.flawed:,} lines could not be graded; they are named above")
