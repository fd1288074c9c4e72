"""Figures and tables as HTML: each scrolls in itself where the screen is too narrow for it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from scdpo.report.figures import Figure
from scdpo.report.table import Table

STYLES = ("figures.css",)
"""The assets that they need."""


def told(figures: Iterable[Figure], tables: Iterable[Table]) -> str:
    """Figures, then tables, beside each other where there is room. Empty where there are none."""
    drawn, written = "".join(map(html_figure, figures)), "".join(map(html_table, tables))
    if not drawn + written:
        return ""
    return f'<div class="told"><div class="figures">{drawn}</div><div class="tables">{written}</div></div>'


def html_figure(figure: Figure) -> str:
    """A figure with its title, at its own width where there is room."""
    width = figure.svg.partition('viewBox="')[2].split()[2]
    return (
        f'<figure id="figure-{figure.name}" style="--width: {width}px"><figcaption>{escape(figure.title)}</figcaption>'
        f'<div class="chart">{figure.svg}</div></figure>\n'
    )


def html_table(table: Table) -> str:
    """A table with its title and note."""

    def cell(row: int, column: int, text: str) -> str:
        shown = f"<strong>{escape(text)}</strong>" if (row, column) in table.strong else escape(text)
        return f'<th scope="row">{shown}</th>' if column == 0 else f"<td>{shown}</td>"

    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.head)
    body = "".join(
        f"<tr>{''.join(cell(row, column, text) for column, text in enumerate(texts))}</tr>\n"
        for row, texts in enumerate(table.rows)
    )
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="table" id="table-{table.name}"><h3 id="title-{table.name}">{escape(table.title)}</h3>'
        f'<div class="wide"><table aria-labelledby="title-{table.name}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{note}</div>\n"
    )
