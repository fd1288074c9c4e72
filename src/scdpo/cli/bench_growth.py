"""`scdpo bench growth`: how seconds and memory of sampling and forking grow, as a table, a picture and JSON."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scdpo.bench.growth import Cost, measure, picture, settings_of
from scdpo.errors import BenchError
from scdpo.run.directory import RunDirectory


def bench_growth(
    folder: str, problems: int, workers: int, block: int, svg: str | None, out: str | None, console: Console
) -> None:
    """Measure with the SFT model of the run in `folder`. Raises BenchError where it has none, or a stage fails."""
    run = RunDirectory.open(folder)
    if not run.round(1).model("sft").is_dir():
        raise BenchError(f"{run.path} has no SFT model yet; run: scdpo sft {run.path}")
    if min(problems, workers, block) < 1:
        raise BenchError("--problems, --workers and --block must be at least 1")

    def hear(cost: Cost) -> None:
        setting = cost.setting
        console.print(
            f"{setting.problems:,} problems, {setting.forks} forks a solution, {setting.workers} workers: "
            f"{cost.seconds:.0f} s, {cost.memory:,.0f} MB"
        )

    with tempfile.TemporaryDirectory(prefix="scdpo-growth-") as place:
        costs = measure(run, settings_of(problems, workers), block, Path(place), hear)
    table = Table(box=None, pad_edge=False)
    for column in ("varied", "problems", "forks", "workers", "s", "MB", "samples", "continued", "pairs"):
        table.add_column(column, justify="left" if column == "varied" else "right")
    for name, series in costs.items():
        for cost in series:
            numbers = (cost.setting.problems, cost.setting.forks, cost.setting.workers, cost.seconds, cost.memory)
            made = (cost.samples, cost.continuations, cost.pairs)
            table.add_row(name, *(f"{number:,.0f}" for number in (*numbers, *made)))
    console.print(table)
    if svg:
        Path(svg).expanduser().write_text(picture(costs), encoding="utf-8")
        console.print(f"picture: {svg}")
    if out:
        figures = {name: [asdict(cost) for cost in series] for name, series in costs.items()}
        Path(out).expanduser().write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        console.print(f"figures: {out}")
