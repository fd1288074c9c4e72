"""Made results for the tests of tables and figures: one with all that a report can show, one with what every run has."""

from __future__ import annotations

import math
from dataclasses import replace

from scdpo.credit.localisation import Localisation
from scdpo.evaluation.errors import ErrorBreakdown
from scdpo.evaluation.statistics import Estimate, paired_difference, wilson
from scdpo.evaluation.temperature import TemperaturePoint
from scdpo.report.result import DIFFERENCES, LABELS, Result, RoundFigures, SetFigures
from tests.conftest import FIGURES

N = 400
HOSTILE = "no answer & <b>\"\x00 $x_1^2$ # 5% {~} \\end{table} | ``quoted''"


def outcomes(of_twenty: int) -> list[bool]:
    return [n % 20 < of_twenty for n in range(N)]


def made(**of_twenty: int) -> Result:
    """A result of N problems without studies, rounds and oracle. of_twenty: how many of 20 answers of a model are right."""
    right = {name: outcomes(of_twenty.get(name.replace("-", "_"), 12)) for name in LABELS}
    pairs = {"naive": 90, "step_controlled": 60, "total": 150}
    return Result(
        name="made",
        split="test",
        accuracy={name: wilson(sum(each), N) for name, each in right.items()},
        differences={f"{b} - {a}": paired_difference(right[a], right[b]) for a, b in DIFFERENCES},
        errors={name: ErrorBreakdown(160, {}, {}, {"no final answer": 2}) for name in LABELS},
        pairs={
            "dpo": {"naive": 90, "step_controlled": 0, "total": 90},
            "dpo-data-equal": {"naive": 150, "step_controlled": 0, "total": 150},
            "scdpo": pairs,
            "rft": {"chosen_solutions": 90},
        },
        sampling={
            "problems": 100,
            "samples": 300,
            "by_outcome": {"correct": 200, "wrong": 90, "undecided": 10},
            "undecided_by_reason": {HOSTILE: 10},
            "problems_with": {"both": 90, "only correct": 10},
            "accuracy": 2 / 3,
        },
        forking={
            "forks_tried": 90,
            "forks_gone_wrong": 60,
            "continuations": 400,
            "unused_by_reason": {"correct": 330, "a reason that goes on and on, " * 9: 10},
            "by_fork": {1: 40, 7: 20},
            "attempts": dict.fromkeys(range(1, 101), 1),
            "first_wrong_step_relative_to_fork": {},
            "trunks_with_a_wrong_step": {"count": 0, "of": 0},
            "further_samples": 120,
        },
        stage_seconds={"sft": 12345.6, "sample": 0.2},
        recipe={"problems": {"sft": 100}},
        manifest={},
        training={
            "sft": [{"step": 1, "loss": 2.0}, {"step": 9, "loss": math.nan}, {"steps": 9, "solutions": 100, "dropped": {}}],
            "scdpo": [{"step": 1, "loss": 0.69}, {"steps": 1, "pairs": 150, "dropped": {"too long": 2}}],
        },
        trees=[],
    )


def full() -> Result:
    """With the oracle's judgements, rounds, two test sets, the temperature study and localisation."""
    once, twice = outcomes(13), outcomes(15)
    pairs = {"naive": 90, "step_controlled": 60, "total": 150}
    gains = (paired_difference(once, once), paired_difference(once, twice))
    rounds = [
        RoundFigures(number, wilson(sum(right), N), gain, gain, pairs, wilson(50 + number, 90))
        for number, right, gain in zip((1, 2), (once, twice), gains, strict=True)
    ]
    plain = made(scdpo=15)
    return replace(
        plain,
        errors={name: ErrorBreakdown(160, {1: 100, 3: 60}, {"wrong arithmetic": 100, "malformed": 60}, {}) for name in LABELS},
        forking={
            **plain.forking,
            "first_wrong_step_relative_to_fork": {"at": 40, "later": 15, "before": 5},
            "trunks_with_a_wrong_step": {"count": 3, "of": 90},
        },
        rounds=rounds,
        localisation=located(),
        temperatures={
            model: [TemperaturePoint(tenths / 10, wilson(60 - tenths, 80), wilson(tenths, 80)) for tenths in range(18)]
            for model in ("sft", "scdpo")
        },
        sets={name: SetFigures(plain.accuracy, plain.differences) for name in ("gsm8k", "mgsm_zh")},
    )


def located(gain: float = 0.05) -> Localisation:
    """Two scores, of which scdpo's is better by `gain`, give or take 0.02."""
    levels = {"dpo": 0.4, "scdpo": 0.4 + gain}
    return Localisation(
        solutions=160,
        problems=120,
        scores={score: {figure: Estimate(at, at - 0.1, at + 0.1, 160) for figure in FIGURES} for score, at in levels.items()},
        differences={"scdpo - dpo": {figure: Estimate(gain, gain - 0.02, gain + 0.02, 160) for figure in FIGURES}},
        chance={"first_wrong_step": 0.25, "lowest_token": 0.2, "token_auroc": 0.5},
    )
