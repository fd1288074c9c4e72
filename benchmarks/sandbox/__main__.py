"""`python -m benchmarks.sandbox`: sessions a second and their memory, as a table and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

from pydantic import Field
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.command import Benchmark, Figures, run
from benchmarks.sandbox.sides import measure_kernels, measure_ours
from scdpo.sandbox.settings import SandboxSettings


class SandboxBench(Benchmark):
    """Sessions a second and their memory, against jupyter_client with ipykernel. See docs/sandbox.md."""

    sessions: int = Field(default=300, ge=1)
    """Of ours."""
    kernels: int = Field(default=5, ge=1)
    """Sessions of the peer."""


def bench_sandbox(bench: SandboxBench, console: Console) -> Figures:
    """Print both sides' figures. Raises BenchError without the peer, SandboxError without isolation."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("sessions", total=bench.sessions + bench.kernels)
        advance = lambda done: progress.advance(bar, done)  # noqa: E731
        peer = measure_kernels(bench.kernels, advance)
        ours = measure_ours(bench.sessions, SandboxSettings(), advance)
    table = Table(box=None, pad_edge=False, title="a session: start, print(2+2), a block of sympy, end", title_justify="left")
    for column in ("sandbox", "sessions", "sessions a second", "MB a session", "MB shared"):
        table.add_column(column, justify="left" if column == "sandbox" else "right")
    for side in (peer, ours):
        row = (f"{side.sessions}", f"{side.rate:.2f}", f"{side.memory:.1f}", f"{side.shared:.0f}" if side.shared else "-")
        table.add_row(side.name, *row)
    console.print(table)
    ratio = ours.rate / peer.rate
    console.print(f"ratio: {ratio:.0f}")
    return {side.name: asdict(side) | {"rate": side.rate} for side in (peer, ours)} | {"ratio": ratio}


def main(words: Sequence[str] | None = None) -> int:
    return run("sandbox", SandboxBench, bench_sandbox, words)


if __name__ == "__main__":
    sys.exit(main())
