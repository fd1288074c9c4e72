"""`scdpo bench page`: seconds until the page of many trees can be used, and its size."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from scdpo.bench.page import measure
from scdpo.errors import BenchError


def bench_page(trees: int, tries: int, out: str | None, console: Console) -> None:
    """Print the figures. Raises BenchError without a browser."""
    if trees < 1 or tries < 1:
        raise BenchError("--trees and --tries must be at least 1")
    with tempfile.TemporaryDirectory(prefix="scdpo-page-") as folder:
        opening = measure(trees, tries, Path(folder))
    each = ", ".join(f"{seconds:.2f}" for seconds in opening.seconds)
    console.print(f"{trees:,} trees, {opening.megabytes:.1f} MB, Chromium {opening.browser}")
    console.print(f"seconds to usable: {opening.median:.2f} (median of {each})")
    if out:
        figures = asdict(opening) | {"median": opening.median}
        Path(out).expanduser().write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        console.print(f"figures: {out}")
