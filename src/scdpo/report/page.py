"""The page: one HTML file with everything in it, no network. The sections of a run, from its tables, figures and records."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from scdpo.report import sections
from scdpo.report.credit_page import credit_section
from scdpo.report.document import Section, document, render
from scdpo.report.figures import Figure, all_figures
from scdpo.report.html_parts import STYLES, figures_and_tables
from scdpo.report.result import Result, duration, headline, on_problems
from scdpo.report.table import Table
from scdpo.report.tables import all_tables
from scdpo.report.tree_browser import tree_section


def html_page(result: Result) -> str:
    """report.html."""
    tables = {each.name: each for each in all_tables(result)}
    figures = {each.name: each for each in all_figures(result)}
    every = [told_section(each, tables, figures) for each in sections.SECTIONS]
    *of_models, times = [each for each in every if each.body]
    parts = [
        *of_models,
        *([credit_section(result.credited, result.more_credited)] if result.credited else []),
        *([tree_section(result.trees, result.more_trees)] if result.trees else []),
        times,
        recipe_section(result),
    ]
    return document(f"{result.name}: Step-Controlled DPO", headline(result), parts, size(result))


def size(result: Result) -> dict[str, str]:
    """How large the run was."""
    sampling, forking = result.sampling, result.forking
    return {
        "evaluated on": on_problems(result),
        "pair problems": f"{sampling['problems']:,}",
        "naive samples": f"{sampling['samples']:,}",
        "continuations": f"{forking['continuations']:,}",
        "pairs of SCDPO": f"{result.pairs['scdpo']['naive']:,} + {result.pairs['scdpo']['step_controlled']:,}",
        "wall time": duration(sum(result.stage_seconds.values())),
    }


def told_section(section: sections.Section, tables: Mapping[str, Table], figures: Mapping[str, Figure]) -> Section:
    """A section of figures and tables; with an empty body where the run has none of them."""
    body = figures_and_tables(
        [figures[name] for name in section.figures if name in figures],
        [tables[name] for name in section.tables if name in tables],
    )
    return Section(re.sub(r"\W+", "-", section.title.lower()), section.title, body, styles=STYLES)


def recipe_section(result: Result) -> Section:
    parts = {"Recipe": result.recipe, "Manifest": result.manifest}
    texts = {name: json.dumps(value, indent=2, ensure_ascii=False) for name, value in parts.items()}
    return Section("recipe", "Recipe and manifest", render("recipe.html", parts=texts))
