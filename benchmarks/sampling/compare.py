"""All sides on the same cases, and the ratios between them. Knows how sides take turns; knows no tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress

from benchmarks.sampling.measure import Amount, Case, Figures, Work, measure
from benchmarks.sampling.sides import CALL_PER_STEP, GENERATE, NAMES, OURS, Sides
from scdpo.sampling.continuation import SamplingRules

ENOUGH = 30
"""Pairs of a side from which on they are compared; fewer are mostly chance."""


@dataclass(frozen=True, slots=True)
class Row:
    """A side's figures on one kind of work. batch: of `generate`, the fastest that was tried."""

    side: str
    figures: Figures
    batch: int = 0


def compare(
    work: Work,
    cases: list[Case],
    sides: Sides,
    rules: SamplingRules,
    amount: Amount,
    batches: Sequence[int],
    progress: Progress | None,
    console: Console,
) -> list[Row]:
    """All sides on all cases: half by half in turns, `generate` first trying its batches on the first half."""
    halves = [cases[: len(cases) // 2], cases[len(cases) // 2 :]]

    def run(side: str, part: list[Case], batch: int = 0) -> Figures:
        name = f"{work}, {NAMES[side]}" + (f", {batch} at once" if batch else "")
        bar = progress.add_task(name, total=len(part)) if progress else None

        def hear(done: int) -> None:
            if progress and bar is not None:
                progress.update(bar, completed=done)

        with sides.open(side, batch) as engine:
            figures = measure(work, part, engine, rules, amount, batch or sides.rows, hear)
        if progress and bar is not None:
            progress.remove_task(bar)
        else:
            console.print(f"{name}: {figures.pairs} pairs, {figures.tokens} tokens in {figures.seconds:.1f} s")
        return figures

    run(OURS, halves[0][: max(1, len(halves[0]) // 8)])  # to warm up
    rows = [Row(OURS, run(OURS, halves[0]))]
    for peer in sides.peers(work):
        if peer == CALL_PER_STEP:  # slow: one half only, as many problems at a time as the others have
            batch = next((row.batch for row in rows if row.side == GENERATE), batches[-1])
            rows.append(Row(peer, run(peer, halves[0], batch), batch))
        else:
            tried = [Row(peer, run(peer, halves[0], batch), batch) for batch in (batches if peer == GENERATE else [0])]
            rows.append(max(tried, key=lambda row: row.figures.problems_a_minute))
    return [
        row if row.side == CALL_PER_STEP else Row(row.side, row.figures + run(row.side, halves[1], row.batch), row.batch)
        for row in rows
    ]


def all_ratios(found: dict[Work, list[Row]]) -> tuple[dict[str, float], dict[str, str]]:
    """(ratios over each peer as WORK_vs_PEER, by what): pairs a minute where both sides made ENOUGH of them, else problems a
    minute, whatever came of them."""
    ratios: dict[str, float] = {}
    by: dict[str, str] = {}
    for work, (ours, *others) in found.items():
        for row in others:
            name = f"{work}_vs_{row.side}"
            has_pairs = min(ours.figures.pairs, row.figures.pairs) >= ENOUGH
            by[name] = "pairs a minute" if has_pairs else "problems a minute"
            ratios[name] = (
                ours.figures.pairs_a_minute / row.figures.pairs_a_minute
                if has_pairs
                else ours.figures.problems_a_minute / row.figures.problems_a_minute
            )
    return ratios, by
