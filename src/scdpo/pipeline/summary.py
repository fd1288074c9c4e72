"""What a finished run prints: the table, what it allows one to say, and where the page is."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from scdpo.pipeline.results import collect
from scdpo.pipeline.run_directory import RunDirectory
from scdpo.report.markdown import accuracy_rows, difference_rows
from scdpo.report.result import headline


def print_summary(console: Console, run: RunDirectory) -> None:
    """Print the run's tables and its last line."""
    result = collect(run)
    n = result.accuracy["sft"].n
    accuracy = Table(title=f"Greedy accuracy, {n} held-out {result.split} problems, 95% intervals", title_justify="left")
    for name in ("model", "accuracy %", "trained on"):
        accuracy.add_column(name, justify="left" if name == "model" else "right", no_wrap=True)
    for row in accuracy_rows(result):
        accuracy.add_row(*row)
    differences = Table(title="Paired differences on the same problems, points", title_justify="left")
    for name in ("models", "difference", "reading"):
        differences.add_column(name, justify="right" if name == "difference" else "left", no_wrap=True)
    for row in difference_rows(result):
        differences.add_row(*row)
    seconds = sum(result.stage_seconds.values())
    console.print(accuracy)
    console.print(differences)
    console.print(headline(result))
    console.print(f"The page: {run.path / 'report.html'}   the numbers: {run.path / 'results.json'}   ({seconds:.0f} s)")
