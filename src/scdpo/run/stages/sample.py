"""Sampling: naive solutions of the pair problems (D_naive), block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from scdpo.run.stage import Output, Stage, once
from scdpo.run.stages.sft import given_file, sft_model

if TYPE_CHECKING:
    from scdpo.problems.problem import Problem
    from scdpo.run.directory import Round
    from scdpo.run.tools import Tools
    from scdpo.run.worker import Worker

SOLVED_WITH = ("engine", "sandbox", "prompt", "steps", "code", "model.context", "model.trust_remote_code", "run.seed")
"""What decides how any model's solutions come out."""


def given_model(current: Round) -> Output:
    """The model that comes from before a round."""
    from scdpo.run.stages.train import trained

    return sft_model(current) if current.is_first else trained(current.before, "scdpo")


@once
def start_model(current: Round) -> Output:
    """The model that samples in a round, and that its trainings start from."""
    given = given_model(current)
    if current.start == given.path:
        return given
    return Output("sample", current.start, "model that the round starts from", inputs=(given,))


def pair_problems(current: Round) -> Output:
    return given_file(current.run, current.run.problem_file("pairs"))


@once
def naive_samples(current: Round) -> Output:
    """D_naive's samples."""
    from scdpo.run.fingerprint import fields_of

    run, what = current.run, f"naive samples{current.of_round}"
    if run.recipe.sampling.trees:
        return Output("sample", current.samples.path, what, {}, (pair_problems(current),), current.samples)
    fields = fields_of(run.fields, (*SOLVED_WITH, "sampling"))
    return Output("sample", current.samples.path, what, fields, (pair_problems(current), start_model(current)), current.samples)


def outputs(current: Round) -> list[Output]:
    start = start_model(current)
    return [*([start] if start.stage == "sample" else []), naive_samples(current)]


def make(tools: Tools, current: Round, owed: Sequence[Output]) -> str:
    from scdpo.run.directory import round_name
    from scdpo.run.making import run_blocks
    from scdpo.run.records import in_blocks

    run, name = current.run, round_name("sample", current.number)
    current.path.mkdir(parents=True, exist_ok=True)
    if any(output.records is None for output in owed):
        tools.watcher.begin(name, "models", [("adapters merged", 0)], 0)
        list(tools.workers.map(merge_start, [(current.number,)], 0, tools.watcher.update))
        tools.watcher.stop()

    def tasks(_: str, first: int) -> Iterator[tuple]:
        return ((current.number, block) for block in in_blocks(run.pair_problems, run.recipe.sampling.block, first))

    files = {output.path.stem: output for output in owed if output.records is not None}
    is_given = bool(run.recipe.sampling.trees)
    run_blocks(tools, name, "problems", files, unsampled if is_given else sampled, tasks)
    return "nothing sampled, the trees are given" if is_given else f"{len(run.pair_problems)} problems"


def merge_start(worker: Worker, number: int, report: Callable[[int, int], None]) -> None:
    """The task of a later round whose round before left adapters: these merged into their base."""
    from scdpo.training.model_files import load_model, load_tokenizer, save_model

    current = worker.run.round(number)
    worker.give_way(current.run.recipe.training.threads)
    remote = current.run.recipe.model.trust_remote_code
    model, tokenizer = load_model(current.given, trust_remote_code=remote), load_tokenizer(current.given, remote)
    save_model(model, tokenizer, current.start, f"The model that round {number} of a run of scdpo started from.\n")


def sampled(
    worker: Worker, number: int, problems: Sequence[Problem], report: Callable[[int, int], None]
) -> list[dict[str, Any]]:
    """The task: the naive samples of one block."""
    from scdpo.sampling.stages import sample_block

    current = worker.run.round(number)
    settings = current.run.recipe.sampling
    solver = worker.solver(current, current.start, settings)
    hear = lambda done: report(done, len(problems))  # noqa: E731
    records = sample_block(problems, solver, settings, hear)
    return [record.to_json() for record in records]


def unsampled(
    worker: Worker, number: int, problems: Sequence[Problem], report: Callable[[int, int], None]
) -> list[dict[str, Any]]:
    """The task where trees are given: nothing was sampled."""
    from scdpo.sampling.policies import ProblemSamples

    return [ProblemSamples(problem.id, (), "given").to_json() for problem in problems]


def found(current: Round) -> str:
    from scdpo.run.yields import verdicts_in

    return "" if current.run.recipe.sampling.trees else verdicts_in(current.samples)


SAMPLE = Stage(
    "sample",
    "sample naive solutions of the pair problems (D_naive)",
    outputs=outputs,
    make=make,
    found=found,
    turn="every round",
    in_blocks=True,
    executes=True,
)
