"""The comparison of sampling as a table and as JSON. Knows no measuring."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.sampling.compare import Row
from benchmarks.sampling.measure import Work
from benchmarks.sampling.sides import NAMES
from scdpo.precision import engine_device


def as_json(row: Row) -> dict[str, Any]:
    rates = {"pairs_a_minute": row.figures.pairs_a_minute, "tokens_a_second": row.figures.tokens_a_second}
    return asdict(row.figures) | rates | ({"batch": row.batch} if row.batch else {})


def device_name() -> str:
    """What the models of this process lie on, by the name that its maker gives it; "cpu" for any processor."""
    import torch

    return torch.cuda.get_device_name() if engine_device() == "cuda" else engine_device()


def print_table(work: Work, rows: list[Row], share: float, at_once: int, asked: str, console: Console) -> None:
    """asked: the model, where it computes, and on what."""
    ours = rows[0].figures
    title = {"naive": "naive sampling", "fork": "forking from long prefixes"}[work]
    prompts, new = (tokens / max(1, ours.requests) for tokens in (ours.prompt_tokens, ours.tokens))
    console.print(f"\n{title}: {asked}, prompts with kept steps of {prompts:.0f} tokens, {new:.0f} new ones a request")
    table = Table(box=None, pad_edge=False)
    for column in ("", "at once", "problems", "requests", "pairs", "pairs a minute", "tokens a second"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=not column)
    for row in rows:
        figures = row.figures
        table.add_row(
            NAMES[row.side],
            str(row.batch or at_once),
            f"{figures.problems:,}",
            f"{figures.requests:,}",
            f"{figures.pairs:,}",
            f"{figures.pairs_a_minute:.1f}",
            f"{figures.tokens_a_second:.0f}",
        )
    console.print(table)
    console.print(f"bare matrix products of the same tokens, every prompt once: {share:.0%} of scdpo's time")
