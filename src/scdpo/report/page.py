"""The page: one HTML file with everything in it, no network. Tables and charts are made here, trees drawn by page.html."""

from __future__ import annotations

import json
from dataclasses import asdict
from html import escape
from importlib import resources
from string import Template
from typing import Any

from scdpo.report.figures import all_figures
from scdpo.report.result import Result, headline, on_problems
from scdpo.report.sections import SECTIONS
from scdpo.report.table import Table
from scdpo.report.tables import all_tables


def html_page(result: Result) -> str:
    """report.html."""
    template = Template((resources.files("scdpo.report") / "page.html").read_text(encoding="utf-8"))
    tables = {each.name: table(each) for each in all_tables(result)}
    figures = {each.name: each for each in all_figures(result)}
    charts = {name: each.svg for name, each in figures.items()}
    return template.substitute(
        title=escape(f"{result.name}: Step-Controlled DPO"),
        headline=escape(headline(result)),
        reading="",
        problems=escape(on_problems(result)),
        accuracy_table=tables["main"],
        accuracy_chart=charts["accuracy"],
        difference_table=tables["differences"],
        difference_chart=charts["differences"],
        rounds=f'<h2>Rounds</h2>\n<div class="chart">{charts["rounds"]}</div>\n{tables["rounds"]}\n' if result.rounds else "",
        error_chart=charts.get("errors", ""),
        error_table=tables["error-kinds"],
        place_table=tables.get("error-places", ""),
        data_table=tables["data"],
        training_charts="".join(
            f"<figure>{figures[name].svg}<figcaption>{escape(figures[name].title)}</figcaption></figure>"
            for section in SECTIONS
            if section.title == "Training"
            for name in section.figures
            if name in figures
        ),
        falling="",
        training_table=tables["training"],
        times_table=tables["times"],
        recipe=escape(json.dumps(result.recipe, indent=2, ensure_ascii=False)),
        manifest=escape(json.dumps(result.manifest, indent=2, ensure_ascii=False)),
        tree_count=len(result.trees),
        trees=script_json([asdict(tree) for tree in result.trees]),
    )


def table(one: Table) -> str:
    """An HTML table that scrolls in itself where it is too wide, with its note."""

    def cell(row: int, column: int, text: str) -> str:
        return f"<td><strong>{escape(text)}</strong></td>" if (row, column) in one.strong else f"<td>{escape(text)}</td>"

    top = "".join(f"<th>{escape(name)}</th>" for name in one.head)
    body = "".join(
        f"<tr>{''.join(cell(row, column, text) for column, text in enumerate(texts))}</tr>"
        for row, texts in enumerate(one.rows)
    )
    note = f'<p class="note">{escape(one.note)}</p>' if one.note else ""
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>{note}'


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
