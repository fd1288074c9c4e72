"""A comparison as texts: for the terminal, as Markdown, and as a page in one file, with its figure."""

from __future__ import annotations

from scdpo.report.charts import DotPanel, dots
from scdpo.report.comparison import Comparison
from scdpo.report.comparison_tables import comparison_tables, figure_rows, findings
from scdpo.report.document import Section, document
from scdpo.report.figures import Figure
from scdpo.report.html_parts import STYLES, figures_and_tables
from scdpo.report.markdown import markdown
from scdpo.report.result import percent

TITLE = "Step-Controlled DPO: runs side by side"
IN_TERMINAL = ("runs", "recipes", "accuracy", "pooled-accuracy", "pooled-differences", "between")


def terminal(comparison: Comparison) -> str:
    """What the command shows: what was compared, and what came out. The other tables are in the files."""
    shown = [markdown(each) for each in comparison_tables(comparison) if each.name in IN_TERMINAL]
    return "\n".join([*shown, findings(comparison)])


def accuracy_figure(comparison: Comparison) -> Figure:
    """Dots with intervals: each model's accuracy by run, and over the seeds of each recipe that has several."""
    rows = figure_rows(comparison)
    title = f"Accuracy of greedy answers by model and run, held-out {comparison.split} problems, with 95% intervals"
    panel = DotPanel("accuracy, %", list(rows.values()), percent)
    return Figure("accuracy", title, dots(list(rows), [panel], title))


def markdown_page(comparison: Comparison) -> str:
    """compare.md. Its figure lies beside it."""
    figure, tables = accuracy_figure(comparison), map(markdown, comparison_tables(comparison))
    return "\n".join([f"# {TITLE}\n", f"{findings(comparison)}\n", *tables, f"![{figure.title}]({figure.name}.svg)\n"])


def html_page(comparison: Comparison) -> str:
    """compare.html."""
    body = figures_and_tables([accuracy_figure(comparison)], comparison_tables(comparison))
    return document(TITLE, findings(comparison), [Section("comparison", "Comparison", body, styles=STYLES)])
