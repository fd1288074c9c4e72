"""The temperature study: a solution of each problem of the study at every temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scdpo.run.stage import Output, Stage

if TYPE_CHECKING:
    from scdpo.run.directory import Round
    from scdpo.run.tools import Tools


def outputs(current: Round) -> list[Output]:
    from scdpo.run.draws import drawn

    return [drawn("temperature", current, draw) for draw in current.temperature_draws]


def make(tools: Tools, current: Round, owed: Sequence[Output]) -> str:
    from scdpo.run.draws import make_draws

    make_draws(tools, "temperature", "solutions", current, current.temperature_draws)
    return f"{current.studied} problems at {len(current.run.recipe.temperature.temperatures)} temperatures"


TEMPERATURE = Stage(
    "temperature",
    "accuracy of sampled solutions by temperature",
    outputs=outputs,
    make=make,
    turn="first round",
    is_wanted=lambda recipe: recipe.temperature.problems > 0,
    in_blocks=True,
    executes=True,
)
