"""The report as files for a paper: figures/NAME.svg, tables/NAME.md and tables/NAME.tex. Knows the files' names and places."""

from __future__ import annotations

from pathlib import Path

from scdpo.report.figures import all_figures
from scdpo.report.latex import latex
from scdpo.report.markdown import markdown
from scdpo.report.result import Result
from scdpo.report.sections import FIGURES, TABLES
from scdpo.report.tables import all_tables


def export(result: Result, folder: Path) -> list[Path]:
    """Write the figures and tables of a result into a run's folder, and remove those of an earlier report that it has no more.

    Returns what was written. Files of other names stay.
    """
    texts = {folder / "figures" / f"{figure.name}.svg": figure.standalone() for figure in all_figures(result)}
    for table in all_tables(result):
        texts[folder / "tables" / f"{table.name}.md"] = markdown(table)
        texts[folder / "tables" / f"{table.name}.tex"] = latex(table)
    known = {folder / "figures" / f"{name}.svg" for name in FIGURES}
    known |= {folder / "tables" / f"{name}.{form}" for name in TABLES for form in ("md", "tex")}
    for path in known - texts.keys():
        path.unlink(missing_ok=True)
    for path, text in texts.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)
