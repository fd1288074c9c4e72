"""The report as Markdown: the tables of the page, for reading in a terminal or an editor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scdpo.credit.localisation import Localisation
from scdpo.report.figures import all_figures
from scdpo.report.result import Result, headline, label, percent
from scdpo.report.sections import SECTIONS
from scdpo.report.table import Table
from scdpo.report.tables import all_tables


def markdown_page(result: Result) -> str:
    """report.md. Its figures lie beside it (see exports)."""
    by_name = {table.name: table for table in all_tables(result)}
    figures = {figure.name: figure for figure in all_figures(result)}
    parts = [f"# {result.name}: Step-Controlled DPO\n", f"{headline(result)}\n"]
    for section in SECTIONS:
        shown = [markdown(by_name[name]) for name in section.tables if name in by_name]
        shown += [f"![{figures[name].title}](figures/{name}.svg)\n" for name in section.figures if name in figures]
        if shown:
            parts += [f"## {section.title}\n", *shown]
    return "\n".join(parts)


def markdown(one: Table) -> str:
    """A table with its title and its note."""
    return "\n".join([f"{one.title}\n", grid(one), *([f"{one.note}\n"] if one.note else [])])


def tables(result: Result) -> str:
    """What a run ends with: accuracies, differences with what they allow one to say, both by test set where there are several,
    rounds, and a line on localisation."""
    named = ("main", "differences", "sets", "set-differences", "rounds")
    shown = [markdown(each) for each in all_tables(result) if each.name in named]
    return "\n".join([*shown, *([f"{localisation_line(result.localisation)}\n"] if result.localisation else [])])


def localisation_line(found: Localisation) -> str:
    """How often each score finds the first wrong step, in one line."""
    rates = "; ".join(f"{label(score)} {percent(each['first_wrong_step'])}" for score, each in found.scores.items())
    return (
        f"Lowest step is the first wrong one, % of {found.solutions} solutions that have one, of {found.problems} problems: "
        f"{rates}; chance {100 * found.chance['first_wrong_step']:.1f}."
    )


def grid(one: Table) -> str:
    """The rows of a table, with the cells that stand out in bold."""

    def cell(row: int, column: int, text: str) -> str:
        return f"**{text}**" if (row, column) in one.strong else text

    return table(one.head, [[cell(row, *each) for each in enumerate(texts)] for row, texts in enumerate(one.rows)])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right, aligned for reading as text."""
    cells = [[cell_text(text) for text in texts] for texts in (head, *rows)]
    widths = [max(2, *map(len, column)) for column in zip(*cells, strict=True)]  # the rule is a dash and a colon at least

    def line(row: Sequence[str]) -> str:
        first, *others = zip(row, widths, strict=True)
        return f"| {' | '.join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])} |"

    rule = f"| {'-' * widths[0]} | {' | '.join('-' * (width - 1) + ':' for width in widths[1:])} |"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])]) + "\n"


def cell_text(text: str) -> str:
    """A text that stays in its cell."""
    return " ".join(text.split()).replace("|", "\\|")
