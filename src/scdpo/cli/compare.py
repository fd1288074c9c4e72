"""`scdpo compare RUN RUN ...`: several runs side by side. Its options, which cost no import, and what it does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def add_compare(commands: Any) -> None:
    text = "set finished runs side by side; runs that differ in nothing but their seeds are pooled"
    command = commands.add_parser("compare", help=text, description=f"{text[0].upper()}{text[1:]}. See docs/compare.md.")
    command.add_argument(
        "runs", nargs="+", metavar="RUN", help="run directories; other recipes are compared to the first one's"
    )
    command.add_argument("--out", metavar="DIR", help="write compare.html, .md and .json, tables and a figure to this folder")
    command.add_argument("--json", metavar="FILE", help="write the numbers to this file")
    command.set_defaults(act=lambda known, console: compare(known.runs, known.out, known.json, console))


def compare(runs: Sequence[str], out: str | None, json_file: str | None, console: Console) -> None:
    """Print the comparison; write its files to the folder `out`, and its numbers to `json_file`, where these are given.

    Raises RunError where the runs cannot be compared, or `out` is a run.
    """
    from scdpo.cli.files import written
    from scdpo.report.comparison_page import terminal
    from scdpo.run.comparison import compare_runs, write_comparison
    from scdpo.run.comparison_json import comparison_json

    comparison = compare_runs(runs)
    console.print(terminal(comparison), markup=False)
    with written(json_file) as write:
        write(comparison_json(comparison))
    if out:
        folder = Path(out).expanduser()
        write_comparison(comparison, folder)
        console.print(f"\nThe page: {folder / 'compare.html'}\nThe numbers: {folder / 'compare.json'}", markup=False)
