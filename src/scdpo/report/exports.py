"""The report as files for a paper: figures/NAME.svg, tables/NAME.md and tables/NAME.tex. Knows their names; writes nothing."""

from __future__ import annotations

from collections.abc import Iterable

from scdpo.report.figures import all_figures
from scdpo.report.latex import latex
from scdpo.report.markdown import markdown
from scdpo.report.result import Result
from scdpo.report.sections import FIGURES, TABLES
from scdpo.report.table import Table
from scdpo.report.tables import all_tables

FORMS = {"md": markdown, "tex": latex}


def exports(result: Result) -> dict[str, str]:
    """File name -> its text, of a result's figures and tables."""
    texts = {f"figures/{figure.name}.svg": figure.standalone() for figure in all_figures(result)}
    return texts | table_texts(all_tables(result))


def export_names() -> list[str]:
    """The files of all figures and tables that any report can have."""
    return [*(f"figures/{name}.svg" for name in FIGURES), *table_names(TABLES)]


def table_texts(tables: Iterable[Table]) -> dict[str, str]:
    """File name -> its text, of tables as Markdown and LaTeX."""
    return {f"tables/{table.name}.{form}": write(table) for table in tables for form, write in FORMS.items()}


def table_names(tables: Iterable[str]) -> list[str]:
    """The files of tables by their names."""
    return [f"tables/{name}.{form}" for name in tables for form in FORMS]
