"""Whose turn it is: the stages in the order of the rounds, what each still owes, and what it lacks of earlier ones.

Computed from what is in the run directory; does nothing itself.
"""

from __future__ import annotations

from itertools import takewhile

from scdpo.errors import RunError
from scdpo.run.records import BlockRecords
from scdpo.run.rounds import Round
from scdpo.run.run_directory import RunDirectory

IN_EVERY_ROUND = ("sample", "fork", "train", "evaluate")
OF_THE_FIRST = ("credit", "temperature")
"""The studies of the first round's models."""
Turn = tuple[str, Round]
"""A stage in a round. sft and report are of the whole run, and are taken in its first round."""


def all_turns(run: RunDirectory) -> list[Turn]:
    """All that makes up the run, in order."""
    first = run.round(1)
    rounds = ((stage, current) for current in run.rounds for stage in IN_EVERY_ROUND)
    wanted = {"credit": run.recipe.credit.problems, "temperature": run.recipe.temperature.problems}
    studies = ((stage, first) for stage in OF_THE_FIRST if wanted[stage])
    return [("sft", first), *rounds, *studies, ("report", first)]


def turns_of(run: RunDirectory, stage: str) -> list[Turn]:
    """A single stage in the rounds that owe it and lack nothing; where there are none, in the first that owes it, which tells
    what is missing, or in the last. Raises RunError for a study that the recipe leaves out."""
    turns = [turn for turn in all_turns(run) if turn[0] == stage]
    if not turns:
        raise RunError(f"{stage}.problems of {run.path} is 0; name how many: scdpo {stage} {run.path} --{stage}.problems 200")
    owed = [turn for turn in turns if is_owed(*turn)]
    return list(takewhile(lambda turn: not lacking(*turn), owed)) or owed[:1] or turns[-1:]


def is_owed(stage: str, current: Round) -> bool:
    """Whether the round has not yet all that the stage makes of it."""
    if stage == "sft":
        return not current.given.is_dir()
    if stage == "sample":
        return not current.samples.is_complete()
    if stage == "fork":
        return not current.trees.is_complete()
    if stage == "train":
        return not all(current.model(arm).is_dir() for arm in current.arms)
    if stage == "credit":
        scored = (current.credit_log_probs(model) for model in current.models)
        return not current.credit_samples.is_complete() or not all(records.is_complete() for records in scored)
    if stage == "temperature":
        return not all(records.is_complete() for records in temperature_records(current).values())
    return stage == "report" or not all(current.answers(model).is_complete() for model in current.models)


def temperature_records(current: Round) -> dict[tuple[str, float], BlockRecords]:
    """The records of the temperature study, by model and temperature."""
    settings = current.run.recipe.temperature
    return {(model, at): current.at_temperature(model, at) for model in settings.models for at in settings.temperatures}


def lacking(stage: str, current: Round) -> str:
    """What the stage needs of earlier ones and does not find, with the command for it; empty where all is there."""
    path, of_round = current.run.path, current.of_round
    if stage in IN_EVERY_ROUND and not current.given.is_dir():
        if current.is_first:
            return f"{path} has no SFT model yet; run: scdpo sft {path}"
        return f"{path} has no model scdpo{current.before.of_round} yet; run: scdpo train {path}"
    if stage == "fork" and is_owed("sample", current):
        return f"{path} has not all its naive samples{of_round} yet; run: scdpo sample {path}"
    if stage == "train" and is_owed("fork", current):
        return f"{path} has not all its trees{of_round} yet; run: scdpo fork {path}"
    needed = {"evaluate": current.models, "credit": current.models, "temperature": current.run.recipe.temperature.models}
    missing = [model for model in needed.get(stage, ()) if not current.model(model).is_dir()]
    if missing:
        return f"{path} has no model {', '.join(missing)}{of_round} yet; run: scdpo train {path}"
    if stage == "report":
        for each in current.run.rounds:
            behind = [model for model in each.models if not each.answers(model).is_complete()]
            if behind:
                return f"{path} has not all answers of {', '.join(behind)}{each.of_round} yet; run: scdpo evaluate {path}"
    return ""
