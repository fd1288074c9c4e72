"""results.json: a run's result as JSON, as docs/run-directory.md describes it. Knows no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from scdpo.credit.localisation import Localisation
from scdpo.credit.processbench import ProcessBenchResult
from scdpo.evaluation.statistics import Estimate
from scdpo.evaluation.temperature import TemperaturePoint
from scdpo.report.result import Result, RoundFigures, SetFigures


def results_json(result: Result) -> dict[str, Any]:
    """All numbers of a result. What a run has not done has no key."""
    return {
        "schema": 1,
        "run": result.name,
        "split": result.split,
        "models": {
            name: counted(accuracy, "accuracy") | {"errors": asdict(result.errors[name])}
            for name, accuracy in result.accuracy.items()
        },
        "differences": {name: paired(value) for name, value in result.differences.items()},
        "pairs": result.pairs,
        "sampling": result.sampling,
        "forking": result.forking,
        "stage_seconds": result.stage_seconds,
        **({"sets": {name: set_json(each) for name, each in result.sets.items()}} if result.sets else {}),
        **({"rounds": [round_json(each) for each in result.rounds]} if result.rounds else {}),
        **({"localisation": localisation_json(result.localisation)} if result.localisation else {}),
        **({"temperature": temperature_json(result.temperatures)} if result.temperatures else {}),
    }


def estimate(value: Estimate, name: str) -> dict[str, Any]:
    return {name: round(value.value, 6), "ci95": [round(value.low, 6), round(value.high, 6)]}


def counted(value: Estimate, name: str) -> dict[str, Any]:
    return estimate(value, name) | {"n": value.n}


def paired(value: Estimate) -> dict[str, Any]:
    """A difference between models on the same problems. p keeps its digits: it may be very small."""
    p = None if value.p is None else float(f"{value.p:.6g}")
    return counted(value, "difference") | {"mcnemar_p": p, "resolved": value.is_resolved}


def set_json(figures: SetFigures) -> dict[str, Any]:
    return {
        "models": {name: counted(value, "accuracy") for name, value in figures.accuracy.items()},
        "differences": {name: paired(value) for name, value in figures.differences.items()},
    }


def round_json(figures: RoundFigures) -> dict[str, Any]:
    return {
        "round": figures.number,
        **counted(figures.accuracy, "accuracy"),
        "difference_to_start": paired(figures.from_start),
        "difference_to_sft": paired(figures.from_sft),
        "pairs": figures.pairs,
        "start_sampled": counted(figures.sampled, "accuracy"),
    }


def localisation_json(found: Localisation) -> dict[str, Any]:
    """The figures of each score beside each other, with what they are of, what chance gives, and the paired differences."""
    chance = {figure: {measure(figure): round(value, 6)} for figure, value in found.chance.items()}
    scores = {
        score: {figure: estimate(value, measure(figure)) for figure, value in figures.items()}
        for score, figures in found.scores.items()
    }
    differences = {
        name: {figure: estimate(value, "difference") | {"resolved": value.is_resolved} for figure, value in figures.items()}
        for name, figures in found.differences.items()
    }
    of = {"solutions": found.solutions, "problems": found.problems}
    return {**of, "chance": chance, **scores, "differences": differences}


def measure(figure: str) -> str:
    """What a figure of localisation is: a rate, or the area under a curve."""
    return "auroc" if figure == "token_auroc" else "rate"


def processbench_json(results: Mapping[str, ProcessBenchResult]) -> dict[str, Any]:
    """The accuracies and F1 of each score, with the thresholds in nats."""
    return {
        score: {
            "f1": counted(each.f1, "f1"),
            "first_wrong_step": counted(each.erroneous, "rate"),
            "no_wrong_step": counted(each.correct, "rate"),
            "thresholds": list(each.thresholds),
        }
        for score, each in results.items()
    }


def temperature_json(studied: Mapping[str, Sequence[TemperaturePoint]]) -> dict[str, list[dict[str, Any]]]:
    return {model: [point_json(point) for point in points] for model, points in studied.items()}


def point_json(point: TemperaturePoint) -> dict[str, Any]:
    garbled = estimate(point.garbled, "garbled")
    return {
        "temperature": point.temperature,
        **counted(point.accuracy, "accuracy"),
        "garbled": garbled["garbled"],
        "garbled_ci95": garbled["ci95"],
    }
