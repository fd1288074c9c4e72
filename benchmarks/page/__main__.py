"""`python -m benchmarks.page`: seconds until the page of many trees can be used, and its size."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import Field
from rich.console import Console

from benchmarks.command import Benchmark, Figures, run
from benchmarks.page.opening import measure


class PageBench(Benchmark):
    """Seconds until the report page of many trees can be used, in a headless Chromium. See docs/report.md."""

    trees: int = Field(default=10_000, ge=1)
    """Of the page."""
    tries: int = Field(default=5, ge=1)
    """How often it is opened."""


def bench_page(bench: PageBench, console: Console) -> Figures:
    """Print the figures. Raises BenchError without a browser."""
    with tempfile.TemporaryDirectory(prefix="scdpo-page-") as folder:
        opening = measure(bench.trees, bench.tries, Path(folder))
    each = ", ".join(f"{seconds:.2f}" for seconds in opening.seconds)
    console.print(f"{bench.trees:,} trees, {opening.megabytes:.1f} MB, Chromium {opening.browser}")
    console.print(f"seconds to usable: {opening.median:.2f} (median of {each})")
    return asdict(opening) | {"median": opening.median}


def main(words: Sequence[str] | None = None) -> int:
    return run("page", PageBench, bench_page, words)


if __name__ == "__main__":
    sys.exit(main())
