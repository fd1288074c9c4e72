"""`scdpo bench`: speed as a ratio against a peer in the same run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from scdpo.bench.grading import Speed, measure
from scdpo.bench.material import Item, mathematical_items, numeric_items
from scdpo.errors import GradingError
from scdpo.jsonlines import read_json_lines

NUMERIC, MATHEMATICAL = 4000, 2000


def bench_grading(file: str | None, out: str | None, console: Console) -> None:
    """Print answers a second on made material, or on the texts of a JSON-lines file. Raises GradingError for a bad file."""
    parts = {"numeric": numeric_items(NUMERIC), "mathematical": mathematical_items(MATHEMATICAL)}
    if file:
        parts = {Path(file).name: read_items(file)}
    speeds = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("grading", total=2 * sum(map(len, parts.values())))
        for name, items in parts.items():
            speeds.append(measure(name, items, lambda done: progress.advance(bar, done)))
    print_speeds(speeds, console)
    if out:
        figures = [asdict(speed) | {"ratio": speed.ratio} for speed in speeds]
        Path(out).write_text(json.dumps({"grading": figures}, indent=2) + "\n", encoding="utf-8")
        console.print(f"figures: {out}")


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
