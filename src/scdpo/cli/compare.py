"""`scdpo compare RUN RUN ...`: several runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.console import Console

from scdpo.cli.options import JsonFile, Shown
from scdpo.errors import users_file
from scdpo.settings import Settings


class Compare(Settings):
    """Set finished runs side by side; runs that differ in nothing but their seeds are pooled. See docs/compare.md."""

    runs: Annotated[tuple[str, ...], Shown("RUN", is_positional=True)]
    """Run directories; other recipes are compared to the first one's."""
    out: Annotated[str | None, Shown("DIR")] = None
    """Write compare.html, .md and .json, tables and a figure to this folder."""
    json_file: JsonFile = None
    """Write the numbers to this file."""


def compare(options: Compare, console: Console) -> None:
    """Print the comparison, and write its files where they are asked for.

    Raises RunError where the runs cannot be compared, or `out` is a run.
    """
    from scdpo.cli.files import written
    from scdpo.jsonlines import json_text
    from scdpo.report.comparison_page import terminal
    from scdpo.run.comparison import compare_runs, write_comparison

    comparison = compare_runs(options.runs)
    console.print(terminal(comparison), markup=False)
    with written(options.json_file) as write:
        write(json_text(comparison.to_json()))
    if options.out:
        folder = Path(options.out).expanduser()
        with users_file():
            folder.mkdir(parents=True, exist_ok=True)
        write_comparison(comparison, folder)
        console.print(f"\nThe page: {folder / 'compare.html'}\nThe numbers: {folder / 'compare.json'}", markup=False)
