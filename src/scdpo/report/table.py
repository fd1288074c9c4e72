"""A table without a format: texts in rows, and which of them the intervals allow to stand out.

Knows no result and no format (see markdown, latex and page).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scdpo.evaluation.statistics import Estimate

SUPPORTED = "Bold: the highest, where it is compared to every other and each difference is resolved in its favour."
RESOLVED = "Bold: resolved."


@dataclass(frozen=True, slots=True)
class Table:
    """A table: a name for files and links, a title, a head, and rows of texts, the first cell of each naming the row.

    strong: (row, column), both from 0, of the cells that stand out. A cell does so only where an interval supports it, by the
    rule that the note tells.
    """

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    strong: frozenset[tuple[int, int]] = frozenset()


def supported_best(values: Mapping[str, Estimate], differences: Mapping[str, Estimate]) -> str | None:
    """The name of the highest value, where every other one is compared to it and each difference is resolved in its favour.

    None where there is none, or nothing to compare it to.

    differences: "B - A" -> B - A.
    """
    if len(values) < 2:
        return None
    best = max(values, key=lambda name: values[name].value)
    signs = ((f"{best} - {other}", f"{other} - {best}") for other in values if other != best)
    for over, under in signs:
        if over in differences:
            wins = differences[over].is_resolved and differences[over].value > 0
        else:
            wins = under in differences and differences[under].is_resolved and differences[under].value < 0
        if not wins:
            return None
    return best


def resolved_cells(estimates: Sequence[Sequence[Estimate]], first: int) -> frozenset[tuple[int, int]]:
    """The cells of resolved differences. estimates: by row, from column `first` on."""
    return frozenset(
        (row, first + column) for row, each in enumerate(estimates) for column, value in enumerate(each) if value.is_resolved
    )
