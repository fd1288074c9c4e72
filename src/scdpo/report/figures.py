"""The figures of a report: one set of named SVG texts, which the page and the exports show.

Knows which of a result's numbers a figure shows. Knows no drawing (see charts and line_charts) and no files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from scdpo.credit.localisation import Localisation
from scdpo.evaluation.statistics import Estimate
from scdpo.evaluation.temperature import TemperaturePoint
from scdpo.problems.step_oracle import ERROR_KINDS
from scdpo.report.charts import DotPanel, bars, dots, histogram, level_bars, stacked
from scdpo.report.line_charts import Line, LinePanel, line_chart
from scdpo.report.result import LABELS, Result, difference_label, fraction, label, on_problems, percent, points
from scdpo.report.run_tables import WHERE

FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
MARGIN = 10
"""Of white around a file's figure, in units of its view box."""
PREFERENCE_ARMS = ("dpo", "dpo-data-equal", "scdpo")
PAIR_KINDS = {"naive": "naive", "step_controlled": "step-controlled"}
STYLES = {name: number for number, name in enumerate(LABELS)}
"""Which colour, dash and mark a model has in every figure of lines."""
Curve = tuple[str, int, str, str]
"""(name, style, model, key of its log)."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure: a name for files and links, a title, and the SVG element, without the colours (see assets/figures.css)."""

    name: str
    title: str
    svg: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        width, height = re.findall(r'viewBox="0 0 (\d+) (\d+)"', self.svg)[0]
        return int(width), int(height)

    def standalone(self) -> str:
        """figures/NAME.svg: the element as a file of its own, with its colours on white, for any viewer."""
        width, height = (size + 2 * MARGIN for size in self.size)
        opening, content = self.svg.split(">", 1)
        opening = opening.replace("<svg", f'<svg xmlns="http://www.w3.org/2000/svg" font-family="{FONTS}"', 1)
        opening = re.sub('viewBox="[^"]*"', f'viewBox="{-MARGIN} {-MARGIN} {width} {height}"', opening)
        paper = f'<rect x="{-MARGIN}" y="{-MARGIN}" width="{width}" height="{height}" fill="#fff"/>'
        return f'{opening} width="{width}" height="{height}"><style>{light_style()}</style>{paper}{content}\n'


@cache
def style() -> str:
    """figures.css: of all charts, with colours that the page may set."""
    return (resources.files("scdpo.report") / "assets" / "figures.css").read_text(encoding="utf-8")


def light_style() -> str:
    """The style with its own colours in place of what a page could set, which not every viewer understands."""
    return re.sub(r"var\(--\w+, ([^)]+)\)", r"\1", re.sub(r"/\*.*?\*/\s*", "", style(), flags=re.DOTALL))


def all_figures(result: Result) -> list[Figure]:
    """Every figure that the run has something for, in the order of reading (see sections)."""
    return [
        *result_figures(result),
        *data_figures(result),
        *training_figures(result),
        *([temperature_figure(result.temperatures, result.split)] if result.temperatures else []),
        *([localisation_figure(result.localisation)] if result.localisation else []),
        *([times_figure(result)] if result.stage_seconds else []),
    ]


def result_figures(result: Result) -> list[Figure]:
    """Accuracies, differences, rounds, wrong answers."""
    n = on_problems(result)
    accuracy = {label(name): value for name, value in result.accuracy.items()}
    title = f"Accuracy of greedy answers, {n}, with 95% intervals"
    figures = [Figure("accuracy", title, bars(accuracy, title, "accuracy, %"))]
    title = f"Differences of accuracy on the same {n}, with 95% intervals"
    panel = DotPanel("difference, percentage points", list(result.differences.values()), points, reference="zero")
    figures.append(Figure("differences", title, dots([difference_label(name) for name in result.differences], [panel], title)))
    if result.rounds:
        title = f"Accuracy by round, {n}, with 95% intervals"
        by_round = {label("sft"): result.accuracy["sft"]} | {label(f"scdpo.{e.number}"): e.accuracy for e in result.rounds}
        figures.append(
            Figure("rounds", title, dots(list(by_round), [DotPanel("accuracy, %", list(by_round.values()), percent)], title))
        )
    kinds = {label(name): errors.by_kind for name, errors in result.errors.items()}
    if any(kinds.values()):
        title = f"Wrong answers by the kind of the first wrong step, {n}"
        figures.append(Figure("errors", title, stacked(kinds, ERROR_KINDS, title, "share of the wrong answers, %", True)))
    return figures


def data_figures(result: Result) -> list[Figure]:
    """Pairs by kind, where forks lie, attempts, where the first wrong step lies, what was not used."""
    forking = result.forking
    pairs = {
        label(arm): {words: counts[kind] for kind, words in PAIR_KINDS.items()}
        for arm, counts in result.pairs.items()
        if "total" in counts
    }
    title = "Pairs by kind"
    figures = [Figure("pairs", title, stacked(pairs, list(PAIR_KINDS.values()), title, "pairs", False))] if pairs else []
    if forking["by_fork"]:
        title = "Step-controlled pairs by the place of their fork"
        chart = histogram(numbers(forking["by_fork"]), title, "fork, steps kept", "pairs")
        figures.append(Figure("forks", title, chart))
    if forking["attempts"]:
        title = "Continuations until one went wrong"
        figures.append(Figure("attempts", title, histogram(numbers(forking["attempts"]), title, "attempts", "pairs")))
    first_wrong = forking["first_wrong_step_relative_to_fork"]
    if first_wrong:
        title = "Where the first wrong step of step-controlled branches lies"
        places = {words: first_wrong.get(place, 0) for place, words in WHERE.items()}
        figures.append(Figure("first-wrong-step", title, level_bars(places, title, "step-controlled branches", count_text)))
    unused = {f"samples: {reason}": count for reason, count in result.sampling["undecided_by_reason"].items()}
    unused |= {f"continuations: {reason}": count for reason, count in forking["unused_by_reason"].items()}
    if unused:
        title = "Samples and continuations that were not used, by reason"
        figures.append(Figure("unused", title, level_bars(unused, title, "solutions not used", count_text)))
    return figures


def numbers(counts: Mapping[int | str, int]) -> dict[int, int]:
    """Counts by whole number; read from JSON the numbers are texts."""
    return {int(number): count for number, count in counts.items()}


def count_text(count: float) -> str:
    return f"{count:,.0f}"


def training_figures(result: Result) -> list[Figure]:
    """Losses; rewards and log-probs of the preference trainings, and SCDPO's by kind of pair."""
    loss = [(label("sft"), 0, "sft", "loss")]
    above = "SCDPO's pairs with chosen above rejected, share"
    curves = [
        ("sft-loss", "Loss of the SFT training", "SFT loss, nats a token", loss),
        ("preference-loss", "Loss of the preference trainings", "preference loss", by_arm("loss")),
        ("reward-margin", "Reward margin, chosen - rejected", "reward margin, nats", by_arm("rewards/margin")),
        (
            "reward-margin-by-kind",
            "SCDPO: reward margin by kind",
            "SCDPO's reward margin, nats",
            by_kind("rewards/margin"),
        ),
        ("reward-accuracy-by-kind", "SCDPO: pairs with chosen above rejected", above, by_kind("rewards/accuracy")),
        ("chosen-log-probs", "Log-probs of chosen ends", "log-prob of chosen ends, nats", by_arm("log_probs/chosen")),
        ("rejected-log-probs", "Log-probs of rejected ends", "log-prob of rejected ends, nats", by_arm("log_probs/rejected")),
    ]
    figures = []
    for name, title, unit, wanted in curves:
        logs = [Line(words, style, logged(result, model, key)) for words, style, model, key in wanted]
        lines = [each for each in logs if each.points]
        if lines:
            figures.append(Figure(name, title, line_chart([LinePanel(lines, "optimizer step", unit)], title)))
    return figures


def logged(result: Result, model: str, key: str) -> list[tuple[float, float]]:
    """(step, value) of a log; of a training that diverged, what came before."""
    entries = [entry for entry in result.training.get(model, ()) if key in entry]
    return [(entry["step"], entry[key]) for entry in entries if math.isfinite(entry[key])]


def by_arm(key: str) -> list[Curve]:
    return [(label(arm), STYLES[arm], arm, key) for arm in PREFERENCE_ARMS]


def by_kind(key: str) -> list[Curve]:
    return [(kind, style, "scdpo", f"{kind}/{key}") for style, kind in enumerate(PAIR_KINDS.values())]


def temperature_figure(temperatures: Mapping[str, Sequence[TemperaturePoint]], split: str) -> Figure:
    """Accuracy by temperature in the form of the paper's Fig. 5, and the share of garbled solutions beside it."""
    n = max(each.accuracy.n for studied in temperatures.values() for each in studied)
    title = f"Accuracy and garbled solutions by sampling temperature, {n} {split} problems, with 95% intervals"

    def panel(axis: str, figure: Callable[[TemperaturePoint], Estimate]) -> LinePanel:
        lines = []
        for model, studied in temperatures.items():
            values = [(each.temperature, figure(each)) for each in studied]
            line = [(at, 100 * value.value) for at, value in values]
            band = [(100 * value.low, 100 * value.high) for _, value in values]
            lines.append(Line(label(model), STYLES[model], line, band))
        return LinePanel(lines, "temperature", axis, x_reach=(0.0, 1.7), y_reach=(0.0,))

    accuracy = panel("accuracy, %", lambda each: each.accuracy)
    garbled = panel("garbled solutions, %", lambda each: each.garbled)
    return Figure("temperature", title, line_chart([accuracy, garbled], title))


def localisation_figure(found: Localisation) -> Figure:
    """How often each score finds the first wrong step, against chance."""
    title = f"How often a score finds the first wrong step, {found.solutions} solutions, with 95% intervals"

    def panel(axis: str, figure: str, write: Callable[[Estimate], str], factor: float) -> DotPanel:
        values = [each[figure] for each in found.scores.values()]
        return DotPanel(axis, values, write, factor, reference="chance", at=found.chance[figure])

    panels = [
        panel("lowest step is it, %", "first_wrong_step", percent, 100),
        panel("lowest token lies in it, %", "lowest_token", percent, 100),
        *([panel("token AUROC", "token_auroc", fraction, 1)] if "token_auroc" in found.figures else []),
    ]
    return Figure("localisation", title, dots([label(score) for score in found.scores], panels, title))


def times_figure(result: Result) -> Figure:
    title = "Wall time by stage"
    return Figure("times", title, level_bars(result.stage_seconds, title, "wall time, seconds", count_text))
