"""The tables of the studies: accuracy by temperature, and how well scores of tokens find the first wrong step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from scdpo.credit.localisation import Localisation
from scdpo.credit.processbench import ProcessBenchResult
from scdpo.evaluation.statistics import Estimate
from scdpo.evaluation.temperature import TemperaturePoint
from scdpo.report.result import difference_label, fraction, label, percent, points, signed_fraction
from scdpo.report.table import SUPPORTED, Table, resolved_cells, supported_best

SCORED = (
    "A score finds the error where its lowest step is the first wrong one, or its lowest token lies in it. Token AUROC: how "
    "often a token of the first wrong step is lower than one before it. A model's score is its implicit reward (Eq. 7). "
    "95% intervals by bootstrap over problems."
)
RATES = {"first_wrong_step": "first wrong step %", "lowest_token": "lowest token %", "token_auroc": "token AUROC"}
CHANGES = {
    "first_wrong_step": "first wrong step, points",
    "lowest_token": "lowest token, points",
    "token_auroc": "token AUROC",
}
GARBLED = "Garbled: no answer can be read, or it is only guessed at, or a step is malformed."


def temperature_tables(studied: Mapping[str, Sequence[TemperaturePoint]], split: str) -> list[Table]:
    """Accuracy, and the share of garbled solutions, by temperature and model."""

    def table(name: str, title: str, figure: Callable[[TemperaturePoint], Estimate], note: str) -> Table:
        cells = {model: {each.temperature: percent(figure(each)) for each in points} for model, points in studied.items()}
        n = max(figure(each).n for points in studied.values() for each in points)
        every = sorted({at for points in cells.values() for at in points})
        return Table(
            name=name,
            title=f"{title}, {n} {split} problems, one sample each.",
            head=("temperature", *(f"{label(model)} %" for model in studied)),
            rows=tuple((f"{at:g}", *(points.get(at, "") for points in cells.values())) for at in every),
            note=f"Wilson 95% intervals. {note}".strip(),
        )

    return [
        table("temperature", "Accuracy by temperature", lambda point: point.accuracy, "Temperature 0 is greedy."),
        table("temperature-garbled", "Garbled solutions by temperature", lambda point: point.garbled, GARBLED),
    ]


def localisation_tables(found: Localisation, problems: str) -> list[Table]:
    """How well each score finds the first wrong step, and how the scores differ on the same solutions. problems: what they are
    called, "test problems"."""
    over = f"{found.solutions} solutions with a wrong step, of {found.problems} {problems}"
    best = {
        figure: supported_best(
            {score: values[figure] for score, values in found.scores.items()},
            {name: values[figure] for name, values in found.differences.items()},
        )
        for figure in found.figures
    }
    scores = Table(
        name="localisation",
        title=f"How often a score finds the first wrong step, {over}.",
        head=("score", *(RATES[figure] for figure in found.figures)),
        rows=(*localisation_rows(found.scores, percent, fraction), ("chance", *chance_cells(found))),
        note=f"{SCORED} {SUPPORTED}",
        strong=frozenset(
            (row, column)
            for column, figure in enumerate(found.figures, start=1)
            for row, score in enumerate(found.scores)
            if score == best[figure]
        ),
    )
    differences = Table(
        name="localisation-differences",
        title=f"Differences between scores on the same {over}.",
        head=("scores", *(CHANGES[figure] for figure in found.figures)),
        rows=localisation_rows(found.differences, points, signed_fraction),
        note="95% intervals by paired bootstrap over problems. Bold: the interval leaves zero out, and for points the exact "
        "sign test over problems has p below 0.05.",
        strong=resolved_cells([list(each.values()) for each in found.differences.values()], first=1),
    )
    return [scores, differences] if found.differences else [scores]


def localisation_rows(
    estimates: Mapping[str, Mapping[str, Estimate]], rate: Callable[[Estimate], str], auroc: Callable[[Estimate], str]
) -> tuple[tuple[str, ...], ...]:
    """A row for each score or difference. rate, auroc: how a share of solutions and an AUROC are written."""
    return tuple(
        (difference_label(name), *((auroc if figure == "token_auroc" else rate)(value) for figure, value in each.items()))
        for name, each in estimates.items()
    )


def chance_cells(found: Localisation) -> list[str]:
    return [
        f"{found.chance[name]:.3f}" if name == "token_auroc" else f"{100 * found.chance[name]:.1f}" for name in found.figures
    ]


def processbench_table(results: Mapping[str, ProcessBenchResult]) -> Table:
    """How well each score solves ProcessBench's task."""
    counts = next(iter(results.values()))
    return Table(
        name="processbench",
        title=f"ProcessBench's task, {counts.erroneous.n} solutions with an error and {counts.correct.n} without.",
        head=("score", "F1 %", "first wrong step %", "no wrong step %", "thresholds, nats"),
        rows=tuple(
            (
                label(score),
                *map(percent, (each.f1, each.erroneous, each.correct)),
                ", ".join(map("{:.3g}".format, each.thresholds)),
            )
            for score, each in results.items()
        ),
        note="The first step below the threshold is named. 95% intervals by bootstrap over problems.",
    )
