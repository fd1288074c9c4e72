"""The page: one HTML file with everything in it, no network. Tables and charts are made here, trees drawn by page.html."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from importlib import resources
from string import Template
from typing import Any

from scdpo.problems.step_oracle import ERROR_KINDS
from scdpo.report.charts import curves, difference_chart, interval_chart, stacked_bars
from scdpo.report.markdown import (
    UNJUDGED,
    accuracy_rows,
    data_rows,
    difference_rows,
    error_head,
    error_places,
    error_rows,
    place_head,
    place_rows,
)
from scdpo.report.result import LABELS, READING, Result, headline

PREFERENCE_ARMS = ("dpo", "dpo-data-equal", "scdpo")
TRAINING_FACTS = {
    "solutions": "solutions",
    "trees": "trees",
    "pairs": "pairs",
    "dropped": "dropped, by reason",
    "layout": "layout",
    "steps": "steps",
    "first_loss": "first loss",
    "last_loss": "last loss",
}


def html_page(result: Result) -> str:
    """report.html."""
    template = Template((resources.files("scdpo.report") / "page.html").read_text(encoding="utf-8"))
    kinds = {name: errors.by_kind for name, errors in result.errors.items()}
    return template.substitute(
        title=escape(f"{result.name}: Step-Controlled DPO"),
        headline=escape(headline(result)),
        reading=escape(READING),
        problems=f"{result.accuracy['sft'].n} held-out {escape(result.split)} problems",
        accuracy_table=table(["model", "accuracy %", "trained on"], accuracy_rows(result)),
        accuracy_chart=interval_chart(result.accuracy, "Accuracy in percent with 95% intervals"),
        difference_table=table(["models", "points", "reading"], difference_rows(result)),
        difference_chart=difference_chart(result.differences, "Paired differences in points with 95% intervals"),
        error_chart=stacked_bars(kinds, ERROR_KINDS, "Wrong answers by kind of the first wrong step")
        if any(kinds.values())
        else "",
        error_table=table(error_head(result), error_rows(result)),
        place_table=table(place_head(result), place_rows(result)) if error_places(result) else f"<p>{UNJUDGED}</p>",
        data_table=table(["what", "count"], data_rows(result)),
        training_charts="".join(
            f"<figure>{chart}<figcaption>{name}</figcaption></figure>" for name, chart in training_charts(result)
        ),
        training_table=table(["model", *TRAINING_FACTS.values()], training_rows(result)),
        times_table=table(["stage", "seconds"], [(name, f"{value:.0f}") for name, value in result.stage_seconds.items()]),
        recipe=escape(json.dumps(result.recipe, indent=2, ensure_ascii=False)),
        manifest=escape(json.dumps(result.manifest, indent=2, ensure_ascii=False)),
        tree_count=len(result.trees),
        trees=script_json([asdict(tree) for tree in result.trees]),
    )


def training_charts(result: Result) -> list[tuple[str, str]]:
    """Loss curves, and the reward margins of the preference trainings by kind of pair."""

    def series(names: Sequence[str], figure: str) -> dict[str, list[tuple[float, float]]]:
        logs = {name: [(e["step"], e[figure]) for e in result.training.get(name, ()) if figure in e] for name in names}
        return {name: line for name, line in logs.items() if line}

    charts = [
        ("SFT loss (nats a token) over the training", curves(series(["sft"], "loss"), "SFT loss")),
        ("DPO loss over the training", curves(series(PREFERENCE_ARMS, "loss"), "DPO loss")),
        ("reward margin, chosen - rejected", curves(series(PREFERENCE_ARMS, "rewards/margin"), "Reward margin")),
        (
            "log-prob of chosen, summed after the fork (nats)",
            curves(series(PREFERENCE_ARMS, "log_probs/chosen"), "Chosen"),
        ),
    ]
    return [(name, chart) for name, chart in charts if chart]


def training_rows(result: Result) -> list[list[str]]:
    """The facts of each training, the last line of its log."""
    facts = {name: log[-1] for name, log in result.training.items() if log}
    return [[LABELS[name], *(shown(values.get(key, "")) for key in TRAINING_FACTS)] for name, values in facts.items()]


def shown(value: Any) -> str:
    """A fact as a cell: numbers short, counts by name as a list."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "0"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table that scrolls in itself where it is too wide."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
