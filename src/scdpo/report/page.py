"""The page: one HTML file with everything in it, no network. The sections of a run, from its tables, figures and records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape

from scdpo.problems.step_oracle import ERROR_KINDS
from scdpo.report.charts import curves, difference_chart, interval_chart, stacked_bars
from scdpo.report.credit_page import credit_section
from scdpo.report.document import Section, document, html_table, note
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
from scdpo.report.tree_browser import tree_section

PREFERENCE_ARMS = ("dpo", "dpo-data-equal", "scdpo")


def html_page(result: Result) -> str:
    """report.html."""
    sections = [
        accuracy_section(result),
        *([rounds_section(result)] if result.rounds else []),
        errors_section(result),
        data_section(result),
        training_section(result),
        *([credit_section(result.credited)] if result.credited else []),
        *([tree_section(result.trees)] if result.trees else []),
        times_section(result),
        recipe_section(result),
    ]
    return document(f"{result.name}: Step-Controlled DPO", f'<p class="lead">{escape(headline(result))}</p>', sections)


def accuracy_section(result: Result) -> Section:
    body = [
        note(f"Greedy decoding on {result.accuracy['sft'].n} held-out {result.split} problems. Wilson 95% intervals."),
        chart(interval_chart(result.accuracy, "Accuracy in percent with 95% intervals")),
        html_table(["model", "accuracy %", "trained on"], accuracy_rows(result)),
        "<h3>Differences</h3>",
        note(f"On the same problems, paired. {READING} Grey: not resolved."),
        chart(difference_chart(result.differences, "Paired differences in points with 95% intervals")),
        html_table(["models", "points", "reading"], difference_rows(result)),
    ]
    return Section("accuracy", "Accuracy", "\n".join(body), styles=("charts.css",))


def rounds_section(result: Result) -> Section:
    """The rounds as a chart and a table."""
    accuracy = {"sft": result.accuracy["sft"]} | {f"scdpo.{each.number}": each.accuracy for each in result.rounds}
    body = [
        note(ROUNDS),
        chart(interval_chart(accuracy, "Accuracy by round in percent with 95% intervals")),
        html_table(round_head(), round_rows(result)),
    ]
    return Section("rounds", "Rounds", "\n".join(body))


def errors_section(result: Result) -> Section:
    kinds = {name: errors.by_kind for name, errors in result.errors.items()}
    judged = error_places(result)
    body = [
        note("By the kind and the place of the first wrong step, as the step oracle judges it."),
        chart(stacked_bars(kinds, ERROR_KINDS, "Wrong answers by kind of the first wrong step")) if judged else "",
        html_table(error_head(result), error_rows(result)),
        html_table(place_head(result), place_rows(result)) if judged else f"<p>{UNJUDGED}</p>",
    ]
    return Section("errors", "Wrong answers", "\n".join(body))


def data_section(result: Result) -> Section:
    return Section("data", "Data", html_table(["what", "count"], data_rows(result)))


def training_section(result: Result) -> Section:
    figures = "".join(f"<figure>{svg}<figcaption>{name}</figcaption></figure>" for name, svg in training_charts(result))
    body = [f'<div class="figures">{figures}</div>', note(FALLING), html_table(training_head(), training_rows(result))]
    return Section("training", "Training", "\n".join(body))


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
    return [(name, svg) for name, svg in charts if svg]


def times_section(result: Result) -> Section:
    rows = [(name, f"{seconds:.0f}") for name, seconds in result.stage_seconds.items()]
    return Section("times", "Stage times", html_table(["stage", "seconds"], rows))


def recipe_section(result: Result) -> Section:
    parts = {"Recipe": result.recipe, "Manifest": result.manifest}
    body = "\n".join(
        f"<details><summary>{name}</summary><pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre></details>"
        for name, value in parts.items()
    )
    return Section("recipe", "Recipe and manifest", body)


def chart(svg: str) -> str:
    """A wide chart, which scrolls in itself on a narrow screen."""
    return f'<div class="chart">{svg}</div>'
