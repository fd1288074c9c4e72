"""The page: one HTML file with everything in it, no network. Tables and charts are made here, trees drawn by page.html."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from html import escape
from importlib import resources
from string import Template
from typing import Any

from scdpo.problems.step_oracle import ERROR_KINDS
from scdpo.report.charts import curves, difference_chart, interval_chart, stacked_bars
from scdpo.report.markdown import (
    ROUNDS,
    UNJUDGED,
    accuracy_rows,
    data_rows,
    difference_rows,
    error_head,
    error_places,
    error_rows,
    place_head,
    place_rows,
    round_head,
    round_rows,
    training_head,
    training_rows,
)
from scdpo.report.result import FALLING, LABELS, READING, Result, headline

PREFERENCE_ARMS = ("dpo", "dpo-data-equal", "scdpo")


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
        rounds=rounds_section(result) if result.rounds else "",
        error_chart=stacked_bars(kinds, ERROR_KINDS, "Wrong answers by kind of the first wrong step")
        if any(kinds.values())
        else "",
        error_table=table(error_head(result), error_rows(result)),
        place_table=table(place_head(result), place_rows(result)) if error_places(result) else f"<p>{UNJUDGED}</p>",
        data_table=table(["what", "count"], data_rows(result)),
        training_charts="".join(
            f"<figure>{chart}<figcaption>{name}</figcaption></figure>" for name, chart in training_charts(result)
        ),
        falling=escape(FALLING),
        training_table=table(training_head(), training_rows(result)),
        times_table=table(["stage", "seconds"], [(name, f"{value:.0f}") for name, value in result.stage_seconds.items()]),
        recipe=escape(json.dumps(result.recipe, indent=2, ensure_ascii=False)),
        manifest=escape(json.dumps(result.manifest, indent=2, ensure_ascii=False)),
        tree_count=len(result.trees),
        trees=script_json([asdict(tree) for tree in result.trees]),
    )


def rounds_section(result: Result) -> str:
    """The rounds as a chart and a table."""
    accuracy = {"sft": result.accuracy["sft"]} | {f"scdpo.{each.number}": each.accuracy for each in result.rounds}
    chart = interval_chart(accuracy, "Accuracy by round in percent with 95% intervals")
    rows = table(round_head(), round_rows(result))
    return f'<h2>Rounds</h2>\n<p class="note">{escape(ROUNDS)}</p>\n<div class="chart">{chart}</div>\n{rows}\n'


def training_charts(result: Result) -> list[tuple[str, str]]:
    """Loss curves; rewards and log-probs of the preference trainings, and SCDPO's by kind of pair."""

    def curve(name: str, lines: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
        """lines: what a line is called -> (model, figure)."""
        logs = {
            label: [(e["step"], e[figure]) for e in result.training.get(model, ()) if figure in e]
            for label, (model, figure) in lines.items()
        }
        return name, curves({label: line for label, line in logs.items() if line}, name)

    def by_arm(figure: str) -> dict[str, tuple[str, str]]:
        return {LABELS[arm]: (arm, figure) for arm in PREFERENCE_ARMS}

    def by_kind(figure: str) -> dict[str, tuple[str, str]]:
        return {kind: ("scdpo", f"{kind}/{figure}") for kind in ("naive", "step-controlled")}

    charts = [
        curve("SFT loss, nats a token", {LABELS["sft"]: ("sft", "loss")}),
        curve("preference loss", by_arm("loss")),
        curve("reward margin, chosen - rejected", by_arm("rewards/margin")),
        curve("SCDPO: reward margin by kind of pair", by_kind("rewards/margin")),
        curve("SCDPO: pairs with chosen above rejected, share by kind", by_kind("rewards/accuracy")),
        curve("log-probs of chosen ends, nats", by_arm("log_probs/chosen")),
        curve("log-probs of rejected ends, nats", by_arm("log_probs/rejected")),
    ]
    return [(name, chart) for name, chart in charts if chart]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table that scrolls in itself where it is too wide."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
