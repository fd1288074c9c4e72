"""`python -m benchmarks.grading`: answers graded a second, as a table and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.command import Benchmark, Figures, run
from benchmarks.grading.material import Item, mathematical_items, numeric_items
from benchmarks.grading.speed import Speed, measure
from scdpo.errors import GradingError
from scdpo.jsonlines import read_json_lines

NUMERIC, MATHEMATICAL = 4000, 2000


class GradingBench(Benchmark):
    """Answers graded a second, against Math-Verify on the whole text, on one core. See docs/grading.md."""

    file: str | None = None
    """JSON lines with gold and prediction (whole texts) instead of the made ones."""


def bench_grading(bench: GradingBench, console: Console) -> Figures:
    """Print answers a second on made material, or on the texts of a file. Raises GradingError for a bad file."""
    parts = {"numeric": numeric_items(NUMERIC), "mathematical": mathematical_items(MATHEMATICAL)}
    if bench.file:
        parts = {Path(bench.file).name: read_items(bench.file)}
    speeds = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("grading", total=2 * sum(map(len, parts.values())))
        for name, items in parts.items():
            speeds.append(measure(name, items, lambda done: progress.advance(bar, done)))
    print_speeds(speeds, console)
    return {"grading": [asdict(speed) | {"ratio": speed.ratio} for speed in speeds]}


def read_items(file: str) -> list[Item]:
    """The items of a file with gold and prediction. Raises GradingError naming file and line."""
    items = []
    for line in read_json_lines(file):
        record = line.record or {}
        if line.record is None or not isinstance(record.get("gold"), str) or not isinstance(record.get("prediction"), str):
            raise GradingError(f"{line.where}: {line.flaw or 'needs texts in gold and prediction'}")
        items.append(Item(record["gold"], record["prediction"]))
    if not items:
        raise GradingError(f"{file} is empty; it needs one JSON object a line with gold and prediction")
    return items


def print_speeds(speeds: list[Speed], console: Console) -> None:
    table = Table(box=None, pad_edge=False, title="answers graded a second, one core, isolation included", title_justify="left")
    for column in ("texts", "items", "scdpo", "Math-Verify, whole text", "ratio", "same verdict"):
        table.add_column(column, justify="left" if column == "texts" else "right")
    for speed in speeds:
        table.add_row(
            speed.name,
            f"{speed.items:,}",
            f"{speed.ours:,.0f}",
            f"{speed.math_verify:,.0f}",
            f"{speed.ratio:.1f}",
            f"{speed.agreeing:,} of {speed.items:,}",
        )
    console.print(table)


def main(words: Sequence[str] | None = None) -> int:
    return run("grading", GradingBench, bench_grading, words)


if __name__ == "__main__":
    sys.exit(main())
