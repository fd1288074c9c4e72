"""Evaluation: greedy solutions of every model of a round on the evaluation problems."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scdpo.run.stage import Output, Stage

if TYPE_CHECKING:
    from scdpo.run.directory import Round
    from scdpo.run.tools import Tools


def outputs(current: Round) -> list[Output]:
    from scdpo.run.draws import drawn

    return [drawn("evaluate", current, draw) for draw in current.evaluation_draws]


def make(tools: Tools, current: Round, owed: Sequence[Output]) -> str:
    from scdpo.run.draws import make_draws

    made = make_draws(tools, "evaluate", "answers", current, current.evaluation_draws)
    who = f"{len(made)} models" if len(made) > 1 else made[0].model
    return f"{who} on {len(current.run.evaluation_problems)} {current.run.recipe.evaluation.split} problems"


def found(current: Round) -> str:
    from scdpo.run.yields import accuracies_in

    return accuracies_in(current)


EVALUATE = Stage(
    "evaluate",
    "greedy answers of every model on the held-out problems",
    outputs=outputs,
    make=make,
    found=found,
    turn="every round",
    in_blocks=True,
    executes=True,
)
