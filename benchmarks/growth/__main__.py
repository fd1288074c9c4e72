"""`python -m benchmarks.growth`: how seconds and memory of sampling and forking grow, as a table, a picture and JSON."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import Field
from rich.console import Console
from rich.table import Table

from benchmarks.command import Benchmark, Figures, run
from benchmarks.errors import BenchError
from benchmarks.growth.cost import Cost, measure, settings_of
from benchmarks.growth.picture import picture
from scdpo.cli.options import Shown
from scdpo.files import write_whole
from scdpo.run.directory import RunDirectory


class GrowthBench(Benchmark):
    """Seconds and memory of sampling and forking by problems (10 times as many), forks and workers. See docs/engines.md."""

    run: Annotated[str, Shown("RUN", is_positional=True)] = "runs/quickstart"
    """A run directory, whose SFT model and recipe are taken; the default is that of make demo."""
    problems: int = Field(default=500, ge=1)
    """The fewest problems."""
    most_workers: int = Field(default=2, ge=1)
    """Workers up to."""
    block: int = Field(default=250, ge=1)
    """Problems a block."""
    svg: Annotated[str | None, Shown("FILE")] = None
    """Draw the growth to this file."""


def bench_growth(bench: GrowthBench, console: Console) -> Figures:
    """Measure with the run's SFT model. Raises BenchError where it has none, or a stage fails."""
    source = RunDirectory.open(bench.run)
    if not source.round(1).model("sft").is_dir():
        raise BenchError(f"{source.path} has no SFT model yet; run: scdpo sft {source.path}")

    def hear(cost: Cost) -> None:
        setting = cost.setting
        console.print(
            f"{setting.problems:,} problems, {setting.forks} forks a solution, {setting.workers} workers: "
            f"{cost.seconds:.0f} s, {cost.memory:,.0f} MB"
        )

    with tempfile.TemporaryDirectory(prefix="scdpo-growth-") as folder:
        costs = measure(source, settings_of(bench.problems, bench.most_workers), bench.block, Path(folder), hear)
    table = Table(box=None, pad_edge=False)
    for column in ("varied", "problems", "forks", "workers", "s", "MB", "samples", "continued", "pairs"):
        table.add_column(column, justify="left" if column == "varied" else "right")
    for name, series in costs.items():
        for cost in series:
            numbers = (cost.setting.problems, cost.setting.forks, cost.setting.workers, cost.seconds, cost.memory)
            made = (cost.samples, cost.continuations, cost.pairs)
            table.add_row(name, *(f"{number:,.0f}" for number in (*numbers, *made)))
    console.print(table)
    if bench.svg:
        write_whole(Path(bench.svg).expanduser(), picture(costs))
        console.print(f"picture: {bench.svg}")
    return {name: [asdict(cost) for cost in series] for name, series in costs.items()}


def main(words: Sequence[str] | None = None) -> int:
    return run("growth", GrowthBench, bench_growth, words)


if __name__ == "__main__":
    sys.exit(main())
