"""The tables of the studies: accuracy by temperature, and how well scores of tokens find the first wrong step."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scdpo.credit.localisation import FIGURES, Localisation
from scdpo.evaluation.statistics import Estimate
from scdpo.evaluation.temperature import TemperaturePoint
from scdpo.report.result import Result, difference_label, fraction, label, percent, points, signed_fraction
from scdpo.report.table import SUPPORTED, Table, resolved_cells, supported_best

SCORED = (
    "A score finds the error where its lowest step is the first wrong one, or its lowest token lies in it. Token AUROC: how "
    "often a token of the first wrong step is lower than one before it. A model's score is its implicit reward (Eq. 7). "
    "95% intervals by bootstrap over problems."
)
GARBLED = "Garbled: no answer can be read, or it is only guessed at, or a step is malformed."


def temperature_tables(result: Result) -> list[Table]:
    """Accuracy, and the share of garbled solutions, by temperature and model."""

    def table(name: str, title: str, figure: Callable[[TemperaturePoint], Estimate], note: str) -> Table:
        studied = result.temperatures
        cells = {model: {each.temperature: percent(figure(each)) for each in points} for model, points in studied.items()}
        n = max(figure(each).n for points in studied.values() for each in points)
        every = sorted({at for points in cells.values() for at in points})
        return Table(
            name=name,
            title=f"{title}, {n} {result.split} problems, one sample each.",
            head=("temperature", *(f"{label(model)} %" for model in studied)),
            rows=tuple((f"{at:g}", *(points.get(at, "") for points in cells.values())) for at in every),
            note=f"Wilson 95% intervals. {note}".strip(),
        )

    return [
        table("temperature", "Accuracy by temperature", lambda point: point.accuracy, "Temperature 0 is greedy."),
        table("temperature-garbled", "Garbled solutions by temperature", lambda point: point.garbled, GARBLED),
    ]


def localisation_tables(result: Result, found: Localisation) -> list[Table]:
    """How well each score finds the first wrong step, and how the scores differ on the same solutions."""
    over = f"{found.solutions} wrong solutions of {found.problems} {result.split} problems"
    best = {
        figure: supported_best(
            {score: values[figure] for score, values in found.scores.items()},
            {name: values[figure] for name, values in found.differences.items()},
        )
        for figure in FIGURES
    }
    scores = Table(
        name="localisation",
        title=f"How often a score finds the first wrong step, {over}.",
        head=("score", "first wrong step %", "lowest token %", "token AUROC"),
        rows=(*localisation_rows(found.scores, percent, fraction), ("chance", *chance_cells(found))),
        note=f"{SCORED} {SUPPORTED}",
        strong=frozenset(
            (row, column)
            for column, figure in enumerate(FIGURES, start=1)
            for row, score in enumerate(found.scores)
            if score == best[figure]
        ),
    )
    differences = Table(
        name="localisation-differences",
        title=f"Differences between scores on the same {over}.",
        head=("scores", "first wrong step, points", "lowest token, points", "token AUROC"),
        rows=localisation_rows(found.differences, points, signed_fraction),
        note="95% intervals by paired bootstrap over problems. Bold: the interval leaves zero out.",
        strong=resolved_cells([[each[figure] for figure in FIGURES] for each in found.differences.values()], first=1),
    )
    return [scores, differences] if found.differences else [scores]


def localisation_rows(
    estimates: Mapping[str, Mapping[str, Estimate]], rate: Callable[[Estimate], str], auroc: Callable[[Estimate], str]
) -> tuple[tuple[str, ...], ...]:
    """A row for each score or difference. rate, auroc: how a share of solutions and an AUROC are written."""
    return tuple(
        (difference_label(name), *((auroc if figure == "token_auroc" else rate)(each[figure]) for figure in FIGURES))
        for name, each in estimates.items()
    )


def chance_cells(found: Localisation) -> list[str]:
    return [f"{found.chance[name]:.3f}" if name == "token_auroc" else f"{100 * found.chance[name]:.1f}" for name in FIGURES]
