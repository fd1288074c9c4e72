"""The page: one HTML file with everything in it, no network. The sections of a run, from its tables, figures and records."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape

from scdpo.report import sections
from scdpo.report.credit_page import credit_section
from scdpo.report.document import Section, document
from scdpo.report.figures import Figure, all_figures
from scdpo.report.result import Result, headline, on_problems
from scdpo.report.table import Table
from scdpo.report.tables import all_tables
from scdpo.report.tree_browser import tree_section


def html_page(result: Result) -> str:
    """report.html."""
    tables = {each.name: each for each in all_tables(result)}
    figures = {each.name: each for each in all_figures(result)}
    told = [told_section(each, tables, figures) for each in sections.SECTIONS]
    *of_models, times = [each for each in told if each.body]
    parts = [
        *of_models,
        *([credit_section(result.credited, result.more_credited)] if result.credited else []),
        *([tree_section(result.trees, result.more_trees)] if result.trees else []),
        times,
        recipe_section(result),
    ]
    return document(f"{result.name}: Step-Controlled DPO", lead(result), parts)


def lead(result: Result) -> str:
    """What a reader sees first: what the run found, and how large it was."""
    sampling, forking = result.sampling, result.forking
    facts = {
        "evaluated on": on_problems(result),
        "pair problems": f"{sampling['problems']:,}",
        "naive samples": f"{sampling['samples']:,}",
        "continuations": f"{forking['continuations']:,}",
        "pairs of SCDPO": f"{result.pairs['scdpo']['naive']:,} + {result.pairs['scdpo']['step_controlled']:,}",
        "wall time": duration(sum(result.stage_seconds.values())),
    }
    cells = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.items())
    return f'<p class="lead">{escape(headline(result))}</p>\n<dl class="facts">{cells}</dl>'


def duration(seconds: float) -> str:
    """Wall time as a reader says it: 45 s, 12 min, 3.4 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def told_section(section: sections.Section, tables: Mapping[str, Table], figures: Mapping[str, Figure]) -> Section:
    """A section of figures and tables; with an empty body where the run has none of them."""
    drawn = "".join(html_figure(figures[name]) for name in section.figures if name in figures)
    written = "".join(html_table(tables[name]) for name in section.tables if name in tables)
    body = (
        f'<div class="told"><div class="figures">{drawn}</div><div class="tables">{written}</div></div>'
        if drawn + written
        else ""
    )
    return Section(re.sub(r"\W+", "-", section.title.lower()), section.title, body, styles=("figures.css",))


def html_figure(figure: Figure) -> str:
    """A figure at its own width where there is room; it scrolls in itself on a narrow screen."""
    width = figure.svg.partition('viewBox="')[2].split()[2]
    return (
        f'<figure id="figure-{figure.name}" style="--width: {width}px"><figcaption>{escape(figure.title)}</figcaption>'
        f'<div class="chart">{figure.svg}</div></figure>\n'
    )


def html_table(table: Table) -> str:
    """A table with its title and note. It scrolls in itself where it is too wide."""

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


def recipe_section(result: Result) -> Section:
    parts = {"Recipe": result.recipe, "Manifest": result.manifest}
    body = "\n".join(
        f"<details><summary>{name}</summary><pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre></details>"
        for name, value in parts.items()
    )
    return Section("recipe", "Recipe and manifest", body)
