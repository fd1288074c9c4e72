"""Figures and tables as HTML: each scrolls in itself where the screen is too narrow for it."""

from __future__ import annotations

from collections.abc import Sequence

from scdpo.report.document import render
from scdpo.report.figures import Figure
from scdpo.report.table import Table

STYLES = ("figures.css",)
"""The assets that they need."""


def figures_and_tables(figures: Sequence[Figure], tables: Sequence[Table]) -> str:
    """Figures, then tables, beside each other where there is room. Empty where there are none."""
    return render("told.html", figures=figures, tables=tables) if figures or tables else ""
