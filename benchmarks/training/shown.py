"""A comparison of training steps as a table and as JSON. Knows no measuring."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.training.compare import Comparison, Setting
from scdpo.precision import training_device


def print_comparison(comparison: Comparison, console: Console) -> None:
    tokens = comparison.tokens
    console.print(
        f"tokens a step: {tokens.trees:,.0f} as trees, {tokens.pairs:,.0f} as pairs ({tokens.pairs / tokens.trees:.2f} times); "
        f"{tokens.counted:,.0f} need logits\n"
    )
    table = Table(box=None, pad_edge=False)
    for column in (
        "",
        "pairs at once",
        "steps",
        "s a step",
        "pairs a second",
        "peak GB" + " over start" * (training_device() != "cuda"),
    ):
        table.add_column(column, justify="left" if not column else "right")
    for setting in comparison.tried:
        add_row(table, "TRL, tried", setting, comparison.pairs)
    add_row(table, "TRL, fastest", comparison.trl, comparison.pairs)
    add_row(table, "scdpo", comparison.ours, comparison.pairs)
    console.print(table)
    for setting in comparison.tried:
        if setting.note:
            console.print(f"TRL, {at_once(setting)}: {setting.note}")
    ratios = comparison.speed_ratios
    console.print(
        f"\nscdpo over TRL's fastest setting: {comparison.speed_ratio:.2f} times the pairs a second "
        f"(steps: {min(ratios):.2f} to {max(ratios):.2f}), {comparison.memory_ratio:.2f} of the peak memory"
    )
    for setting in comparison.tried:
        if setting.steps and setting.pairs_a_forward != comparison.trl.pairs_a_forward:
            speed, memory = setting.seconds / comparison.ours.seconds, comparison.ours.peak / setting.peak
            console.print(f"over TRL with {at_once(setting)}: {speed:.2f} times, {memory:.2f}")
    losses = ", ".join(
        f"{own.loss:.6f} | {theirs.loss:.6f}" for own, theirs in zip(comparison.ours.steps, comparison.trl.steps, strict=True)
    )
    console.print(f"losses (scdpo | TRL): {losses}; largest relative difference {comparison.loss_difference:.1e}")


def add_row(table: Table, name: str, setting: Setting, pairs: int) -> None:
    if setting.steps:
        figures = f"{setting.seconds:.1f}", f"{pairs / setting.seconds:.2f}", f"{setting.peak:.2f}"
        table.add_row(name, str(setting.pairs_a_forward or ""), str(len(setting.steps)), *figures)


def at_once(setting: Setting) -> str:
    return f"{setting.pairs_a_forward} {'pair' if setting.pairs_a_forward == 1 else 'pairs'} at once"


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison in figures. `ratio` is over TRL's fastest setting, `tried` holds them all."""

    def figures(setting: Setting) -> dict[str, Any]:
        if setting.note:
            return {"pairs_at_once": setting.pairs_a_forward, "note": setting.note}
        return {
            "seconds_per_step": setting.seconds,
            "pairs_per_second": comparison.pairs / setting.seconds,
            "peak_memory_gb": setting.peak,
            "losses": [step.loss for step in setting.steps],
            "seconds": [step.seconds for step in setting.steps],
        } | ({"pairs_at_once": setting.pairs_a_forward} if setting.pairs_a_forward else {})

    return {
        "ratio": {"pairs_per_second": comparison.speed_ratio, "peak_memory": comparison.memory_ratio},
        "ratio_by_step": comparison.speed_ratios,
        "max_loss_difference": comparison.loss_difference,
        "scdpo": figures(comparison.ours),
        "trl": figures(comparison.trl),
        "tried": [
            figures(setting)
            | (
                {
                    "ratio": {
                        "pairs_per_second": setting.seconds / comparison.ours.seconds,
                        "peak_memory": comparison.ours.peak / setting.peak,
                    }
                }
                if setting.steps
                else {}
            )
            for setting in comparison.tried
        ],
        "tokens_per_step": asdict(comparison.tokens),
        "pairs_per_step": comparison.pairs,
    }
