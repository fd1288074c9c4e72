"""`scdpo bench sandbox`: sessions a second and their memory, against jupyter_client with ipykernel."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from scdpo.bench.sandbox import Side, measure_kernels, measure_ours
from scdpo.errors import BenchError
from scdpo.sandbox.settings import SandboxSettings


def bench_sandbox(sessions: int, kernels: int, out: str | None, console: Console) -> None:
    """Print both sides' figures. Raises BenchError without the peer, SandboxError without isolation."""
    if sessions < 1 or kernels < 1:
        raise BenchError("--sessions and --kernels must be at least 1")
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("sessions", total=sessions + kernels)
        advance = lambda done: progress.advance(bar, done)  # noqa: E731
        peer = measure_kernels(kernels, advance)
        ours = measure_ours(sessions, SandboxSettings(), advance)
    table = Table(box=None, pad_edge=False, title="a session: start, print(2+2), a block of sympy, end", title_justify="left")
    for column in ("sandbox", "sessions", "sessions a second", "MB a session", "MB shared"):
        table.add_column(column, justify="left" if column == "sandbox" else "right")
    for side in (peer, ours):
        row = (f"{side.sessions}", f"{side.rate:.2f}", f"{side.memory:.1f}", f"{side.shared:.0f}" if side.shared else "-")
        table.add_row(side.name, *row)
    console.print(table)
    console.print(f"ratio: {ratio(ours, peer):.0f}")
    if out:
        figures = {side.name: asdict(side) | {"rate": side.rate} for side in (peer, ours)}
        Path(out).write_text(json.dumps(figures | {"ratio": ratio(ours, peer)}, indent=2) + "\n", encoding="utf-8")
        console.print(f"figures: {out}")


def ratio(ours: Side, peer: Side) -> float:
    return ours.rate / peer.rate
