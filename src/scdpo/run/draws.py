"""Draws of a run: solutions of evaluation problems by one of its models, at a temperature. Evaluation, credit and the
temperature study say which they want; each is drawn once, whoever reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from scdpo.run.directory import Draw, Round, round_name
from scdpo.run.fingerprint import fields_of
from scdpo.run.making import run_blocks
from scdpo.run.records import in_blocks
from scdpo.run.stage import Output
from scdpo.run.stages.sample import SOLVED_WITH
from scdpo.run.stages.sft import given_file, sft_model
from scdpo.run.stages.train import trained
from scdpo.run.tools import Tools
from scdpo.sampling.stages import answer_block

if TYPE_CHECKING:
    from scdpo.problems.problem import Problem
    from scdpo.run.worker import Worker


def model_output(current: Round, name: str) -> Output:
    """A model of a round: the SFT model or one of its arms."""
    return sft_model(current) if name == "sft" else trained(current, name)


def drawn(stage: str, current: Round, draw: Draw) -> Output:
    """The solutions of a draw. stage: who makes them, where they are missing."""
    run, records = current.run, current.drawn(draw)
    problems = given_file(run, run.problem_file(run.recipe.evaluation.split))
    fields = fields_of(run.fields, (*SOLVED_WITH, "evaluation"))
    hot = f" at temperature {draw.temperature:g}" if draw.temperature else ""
    what = f"answers of {draw.model}{hot}{current.of_round}"
    return Output(stage, records.path, what, fields, (problems, model_output(current, draw.model)), records)


def make_draws(tools: Tools, stage: str, unit: str, current: Round, draws: Sequence[Draw]) -> list[Draw]:
    """Draw what is owed of these, block by block; returns it."""
    files = {draw: output for draw in draws if not (output := drawn(stage, current, draw)).is_complete}

    def tasks(draw: Draw, first: int) -> Iterator[tuple]:
        problems = islice(current.run.evaluation_problems, current.drawn(draw).count)
        return ((current.number, draw, block) for block in in_blocks(problems, current.run.recipe.evaluation.block, first))

    if files:
        run_blocks(tools, round_name(stage, current.number), unit, files, solved, tasks, lambda draw: draw.model)
    return list(files)


def solved(
    worker: Worker, number: int, draw: Draw, problems: Sequence[Problem], report: Callable[[int, int], None]
) -> list[dict[str, Any]]:
    """The task: the solutions of one block of a draw."""
    current = worker.run.round(number)
    solver = worker.solver(current, current.model(draw.model), current.run.recipe.evaluation)
    hear = lambda done: report(done, len(problems))  # noqa: E731
    solutions = answer_block(problems, solver, hear, draw.temperature, draw.number)
    return [{"problem": p.id} | solution.to_json() for p, solution in zip(problems, solutions, strict=True)]
