"""The stages of a run, each doing what is owed in one of its rounds and nothing else.

Their order, and what each needs of earlier ones: turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TypeVar

from scdpo.cores import usable_threads
from scdpo.errors import RunError
from scdpo.exchange.tree_file import read_tree_file
from scdpo.problems.problem import Problem
from scdpo.run.manifest import describe_machine
from scdpo.run.progress import Watcher
from scdpo.run.ray_workers import RayWorkers
from scdpo.run.records import BlockRecords, in_blocks
from scdpo.run.rounds import Round, named
from scdpo.run.run_directory import RunDirectory
from scdpo.run.tasks import (
    answer_task,
    fork_task,
    given_task,
    reference_task,
    sample_task,
    sampled_task,
    score_task,
    sft_task,
    start_task,
    train_task,
    unsampled_task,
)
from scdpo.run.turns import is_owed, lacking, temperature_records
from scdpo.run.workers import Workers

Key = TypeVar("Key", str, tuple[str, float])


@dataclass(frozen=True, slots=True)
class Bench:
    """What stages work with: the run, the workers for trainings, those for blocks of problems, and who watches; of several
    launched processes, whether this is the one that writes; the layers of the sandbox, for the manifest."""

    run: RunDirectory
    workers: Workers
    block_workers: Workers | RayWorkers
    watcher: Watcher
    is_main: bool = True
    layers: Sequence[str] = ()


def sft(bench: Bench, current: Round) -> str:
    """Fine-tune the model, or take the given one. Raises ModelError."""
    run = current.run
    if not is_owed("sft", current):
        return ALREADY_THERE
    bench.watcher.begin("sft", "steps", [("sft", 0)], 0)
    (facts,) = bench.workers.map(sft_task, [(run.path,)], run.recipe.sft.threads, bench.watcher.update)
    if not facts:
        return "the model as given"
    evaluated = run.manifest().get("sft_source", {}).get("question_is_evaluated", 0)
    left_out = f", {evaluated} solutions left out because their questions are evaluated" if evaluated else ""
    return f"loss {facts['first_loss']:.3f} to {facts['last_loss']:.3f}{left_out}"


def sample(bench: Bench, current: Round) -> str:
    """Naive samples of the pair problems, block by block."""
    run, number = current.run, current.number
    size = run.recipe.sampling.block
    current.path.mkdir(parents=True, exist_ok=True)
    if not current.start.is_dir():
        bench.watcher.begin(named("sample", number), "models", [("adapters merged", 0)], 0)
        list(bench.workers.map(start_task, [(run.path, number)], 0, bench.watcher.update))
        bench.watcher.stop()

    def tasks(_: str, first: int) -> Iterator[tuple]:
        return ((run.place, number, block) for block in in_blocks(run.pair_problems, size, first))

    function = unsampled_task if run.recipe.sampling.trees else sample_task
    made = run_blocks(bench, named("sample", number), "problems", {"sample": current.samples}, function, tasks)
    what = "nothing sampled, the trees are given" if run.recipe.sampling.trees else f"{len(run.pair_problems)} problems"
    return what if made else ALREADY_THERE


def fork(bench: Bench, current: Round) -> str:
    """Step-controlled continuations and further naive samples, block by block."""
    run, number = current.run, current.number
    size = run.recipe.sampling.block

    def tasks(_: str, first: int) -> Iterator[tuple]:
        blocks = (in_blocks(records, size, first) for records in (run.pair_problems, current.samples))
        return ((run.place, number, *block) for block in zip(*blocks, strict=True))

    def given(_: str, first: int) -> Iterator[tuple]:
        return ((run.place, number, block) for block in in_blocks(read_tree_file(run.given_trees), size, first))

    is_given = bool(run.recipe.sampling.trees)
    function, work = (given_task, given) if is_given else (fork_task, tasks)
    made = run_blocks(bench, named("fork", number), "problems", {"fork": current.trees}, function, work)
    if not made:
        return ALREADY_THERE
    evaluated = run.manifest().get("given_trees", {}).get("question_is_evaluated", 0)
    left_out = f", {evaluated} left out because their questions are evaluated" if evaluated else ""
    return f"{len(run.pair_problems)} trees as given{left_out}" if is_given else f"{len(run.pair_problems)} problems"


def train(bench: Bench, current: Round) -> str:
    """The models that start where the round starts, side by side where their threads allow it."""
    path, number, recipe = current.run.path, current.number, current.run.recipe
    owed = [arm for arm in reversed(current.arms) if not current.model(arm).is_dir()]  # the largest first, to end together
    if not owed:
        return ALREADY_THERE
    stage = named("train", number)
    threads = max(usable_threads(recipe.training.threads), usable_threads(recipe.rft.threads))
    if owed != ["rft"]:
        bench.watcher.begin(stage, "micro-batches", [("reference log-probs", 0)], 0)
        list(bench.workers.map(reference_task, [(path, number)], recipe.training.threads, bench.watcher.update))
        bench.watcher.stop()
    bench.watcher.begin(stage, "steps", [(arm, 0) for arm in owed], 0)
    tasks = [(path, number, arm) for arm in owed]
    trained = list(bench.workers.map(train_task, tasks, threads, bench.watcher.update))
    notes = {facts["note"] for facts in trained if "note" in facts}
    return "; ".join([", ".join(owed), *notes])


def evaluate(bench: Bench, current: Round) -> str:
    """Greedy solutions of every model of the round on the evaluation problems, block by block."""
    run, number, models = current.run, current.number, current.models
    (current.path / "answers").mkdir(exist_ok=True)
    problems, settings = run.evaluation_problems, run.recipe.evaluation

    def tasks(model: str, first: int) -> Iterator[tuple]:
        return ((run.place, number, model, block) for block in in_blocks(problems, settings.block, first))

    answers = {model: current.answers(model) for model in models}
    if not run_blocks(bench, named("evaluate", number), "answers", answers, answer_task, tasks):
        return ALREADY_THERE
    who = f"{len(models)} models" if len(models) > 1 else models[0]
    return f"{who} on {len(problems)} {settings.split} problems"


def credit(bench: Bench, current: Round) -> str:
    """Solutions sampled from the SFT model, and the log-probs of the wrong ones under every model, block by block."""
    run, sampled, settings = current.run, current.credit_samples, current.run.recipe.credit
    size = run.recipe.evaluation.block
    (current.path / "credit" / "log_probs").mkdir(parents=True, exist_ok=True)

    def problems(first: int) -> Iterator[list[Problem]]:
        return in_blocks(islice(run.evaluation_problems, sampled.count), size, first)

    def sampling(_: str, first: int) -> Iterator[tuple]:
        return ((run.place, "sft", settings.temperature, settings.samples, block) for block in problems(first))

    def scoring(model: str, first: int) -> Iterator[tuple]:
        return ((run.place, model, *both) for both in zip(problems(first), in_blocks(sampled, size, first), strict=True))

    files = {model: current.credit_log_probs(model) for model in current.models}
    made = run_blocks(bench, "credit", "problems", {"samples": sampled}, sampled_task, sampling)
    bench.watcher.stop()
    scored = run_blocks(bench, "credit", "problems", files, score_task, scoring)
    if not made and not scored:
        return ALREADY_THERE
    return f"{len(files)} models on the wrong ones of {sampled.count * settings.samples} solutions"


def temperature(bench: Bench, current: Round) -> str:
    """A solution of each problem of the study at every temperature, block by block."""
    run, files = current.run, temperature_records(current)
    for model, _ in files:
        (current.path / "temperature" / model).mkdir(parents=True, exist_ok=True)
    count = next(iter(files.values())).count

    def tasks(key: tuple[str, float], first: int) -> Iterator[tuple]:
        blocks = in_blocks(islice(run.evaluation_problems, count), run.recipe.evaluation.block, first)
        return ((run.place, *key, 1, block) for block in blocks)

    if not run_blocks(bench, "temperature", "solutions", files, sampled_task, tasks):
        return ALREADY_THERE
    return f"{count} problems at {len(run.recipe.temperature.temperatures)} temperatures"


def report(bench: Bench, current: Round) -> str:
    """The report of the whole run; its note is the run's tables and their reading."""
    from scdpo.run.results import write_report

    bench.watcher.begin("report", "files", [("report", 3)], 0)
    return write_report(current.run)


STAGES: dict[str, Callable[[Bench, Round], str]] = {
    "sft": sft,
    "sample": sample,
    "fork": fork,
    "train": train,
    "evaluate": evaluate,
    "credit": credit,
    "temperature": temperature,
    "report": report,
}
ALREADY_THERE = "already there"


def run_stage(bench: Bench, stage: str, current: Round) -> None:
    """One stage in one round, its time added to the manifest. Raises RunError where it needs what is not there."""
    name = named(stage, current.number)
    began, note = time.monotonic(), ""
    try:
        missing = lacking(stage, current)
        if missing:
            raise RunError(missing)
        note = STAGES[stage](bench, current)
    finally:
        bench.watcher.stop()
        if bench.is_main:
            seconds = bench.run.manifest().get("stage_seconds", {})
            seconds[name] = round(seconds.get(name, 0.0) + time.monotonic() - began, 2)
            made_something = stage != "report" and note != ALREADY_THERE
            bench.run.update_manifest(stage_seconds=seconds, **(describe_machine(bench) if made_something else {}))
    bench.watcher.end(name, time.monotonic() - began, note)


def run_blocks(
    bench: Bench,
    stage: str,
    unit: str,
    files: Mapping[Key, BlockRecords],
    function: Callable[..., list],
    tasks: Callable[[Key, int], Iterable[tuple]],
) -> bool:
    """The blocks that the files still owe, file by file, each committed whole and in order; whether there were any.

    unit: what a file's lines are; tasks: those of a file from a block on.
    """
    first = {key: records.repair() for key, records in files.items()}
    owed = lambda: ((key, index) for key, records in files.items() for index in range(first[key], records.blocks))  # noqa: E731
    if not any(owed()):
        return False
    done = sum(min(first[key] * records.block, records.count) for key, records in files.items())
    sizes = ((_called(key), files[key].size(index)) for key, index in owed())
    bench.watcher.begin(stage, unit, sizes, done)
    work = chain.from_iterable(tasks(key, first[key]) for key in files)
    blocks = bench.block_workers.map(function, work, bench.run.recipe.engine.threads, bench.watcher.update)
    for (key, _), block in zip(owed(), blocks, strict=True):
        files[key].append(block)
    return True


def _called(key: Key) -> str:
    """What a file's work is called: the model, and no number of temperatures."""
    return key if isinstance(key, str) else key[0]
