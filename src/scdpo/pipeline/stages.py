"""The stages of a run, each doing what is owed in the run directory and nothing else.

A stage knows what it needs of earlier ones and refuses to start without. Order: sft, sample, fork, train, evaluate, report.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from scdpo.errors import RunError
from scdpo.pipeline.manifest import describe_machine
from scdpo.pipeline.progress import Watcher
from scdpo.pipeline.ray_workers import RayWorkers
from scdpo.pipeline.records import BlockRecords, in_blocks
from scdpo.pipeline.run_directory import MODELS, RunDirectory
from scdpo.pipeline.tasks import answer_task, fork_task, reference_task, sample_task, sft_task, train_task
from scdpo.pipeline.workers import CORES, Workers
from scdpo.sampling.arms import ARMS


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


def sft(bench: Bench) -> str:
    """Fine-tune the model, or take the given one. Raises ModelError."""
    run = bench.run
    if run.model("sft").is_dir():
        return ALREADY_THERE
    bench.watcher.begin("sft", "steps", [("sft", 0)], 0)
    (facts,) = bench.workers.map(sft_task, [(run.path,)], run.recipe.sft.threads, bench.watcher.update)
    return f"loss {facts['first_loss']:.3f} to {facts['last_loss']:.3f}" if facts else "the model as given"


def sample(bench: Bench) -> str:
    """Naive samples of the pair problems, block by block."""
    run = bench.run
    need_model(run)
    size = run.recipe.sampling.block
    tasks = lambda first: ((run.place, problems) for problems in in_blocks(run.pair_problems, size, first))  # noqa: E731
    return run_blocks(bench, "sample", run.samples, sample_task, tasks)


def fork(bench: Bench) -> str:
    """Step-controlled continuations and further naive samples, block by block."""
    run = bench.run
    need_model(run)
    if not run.samples.is_complete():
        raise RunError(f"{run.path} has not all its naive samples yet; run: scdpo sample {run.path}")
    size = run.recipe.sampling.block

    def tasks(first: int) -> Iterator[tuple]:
        blocks = (in_blocks(records, size, first) for records in (run.pair_problems, run.samples))
        return ((run.place, *block) for block in zip(*blocks, strict=True))

    return run_blocks(bench, "fork", run.trees, fork_task, tasks)


def train(bench: Bench) -> str:
    """The four models that start from the SFT model, side by side where their threads allow it."""
    run = bench.run
    need_model(run)
    if not run.trees.is_complete():
        raise RunError(f"{run.path} has not all its trees yet; run: scdpo fork {run.path}")
    owed = [arm for arm in reversed(ARMS) if not run.model(arm).is_dir()]  # the largest first, to end together
    if not owed:
        return ALREADY_THERE
    threads = max(run.recipe.training.threads or CORES, run.recipe.rft.threads or CORES)
    if owed != ["rft"]:
        bench.watcher.begin("train", "micro-batches", [("reference log-probs", 0)], 0)
        list(bench.workers.map(reference_task, [(run.path,)], run.recipe.training.threads, bench.watcher.update))
        bench.watcher.stop()
    bench.watcher.begin("train", "steps", [(arm, 0) for arm in owed], 0)
    tasks = [(run.path, arm) for arm in owed]
    trained = list(bench.workers.map(train_task, tasks, threads, bench.watcher.update))
    notes = {facts["note"] for facts in trained if "note" in facts}
    return "; ".join([", ".join(owed), *notes])


def evaluate(bench: Bench) -> str:
    """Greedy solutions of every model on the evaluation problems, block by block."""
    run = bench.run
    missing = [model for model in MODELS if not run.model(model).is_dir()]
    if missing:
        raise RunError(f"{run.path} has no model {', '.join(missing)} yet; run: scdpo train {run.path}")
    (run.path / "answers").mkdir(exist_ok=True)
    answers = {model: run.answers(model) for model in MODELS}
    first = {model: answers[model].repair() for model in MODELS}
    owed = lambda: ((model, index) for model in MODELS for index in range(first[model], answers[model].blocks))  # noqa: E731
    if not any(owed()):
        return ALREADY_THERE
    problems, settings = run.evaluation_problems, run.recipe.evaluation
    done = sum(min(first[model] * settings.block, len(problems)) for model in MODELS)
    bench.watcher.begin("evaluate", "answers", ((model, answers[model].size(index)) for model, index in owed()), done)
    tasks = ((run.place, model, block) for model in MODELS for block in in_blocks(problems, settings.block, first[model]))
    results = bench.block_workers.map(answer_task, tasks, run.recipe.engine.threads, bench.watcher.update)
    for (model, _), records in zip(owed(), results, strict=True):
        answers[model].append(records)
    return f"{len(MODELS)} models on {len(problems)} {settings.split} problems"


def report(bench: Bench) -> str:
    """results.json, report.md and report.html; its note is the run's tables and their reading."""
    from scdpo.pipeline.results import write_report

    run = bench.run
    behind = [model for model in MODELS if not run.answers(model).is_complete()]
    if behind:
        raise RunError(f"{run.path} has not all answers of {', '.join(behind)} yet; run: scdpo evaluate {run.path}")
    bench.watcher.begin("report", "files", [("report", 3)], 0)
    return write_report(run)


STAGES: dict[str, Callable[[Bench], str]] = {
    "sft": sft,
    "sample": sample,
    "fork": fork,
    "train": train,
    "evaluate": evaluate,
    "report": report,
}
ALREADY_THERE = "already there"


def run_stage(bench: Bench, name: str) -> None:
    """One stage, its time added to the manifest."""
    began, note = time.monotonic(), ""
    try:
        note = STAGES[name](bench)
    finally:
        bench.watcher.stop()
        if bench.is_main:
            seconds = bench.run.manifest().get("stage_seconds", {})
            seconds[name] = round(seconds.get(name, 0.0) + time.monotonic() - began, 2)
            made_something = name != "report" and note != ALREADY_THERE
            bench.run.update_manifest(stage_seconds=seconds, **(describe_machine(bench) if made_something else {}))
    bench.watcher.end(name, time.monotonic() - began, note)


def run_blocks(
    bench: Bench,
    stage: str,
    records: BlockRecords,
    function: Callable[..., list],
    tasks: Callable[[int], Iterable[tuple]],
) -> str:
    """The blocks that `records` still owe, each committed whole and in order. tasks: those from a block on."""
    first = records.repair()
    owed = range(first, records.blocks)
    if not owed:
        return ALREADY_THERE
    bench.watcher.begin(stage, "problems", ((stage, records.size(index)) for index in owed), first * records.block)
    for block in bench.block_workers.map(function, tasks(first), bench.run.recipe.engine.threads, bench.watcher.update):
        records.append(block)
    return f"{records.count} problems"


def need_model(run: RunDirectory) -> None:
    if not run.model("sft").is_dir():
        raise RunError(f"{run.path} has no SFT model yet; run: scdpo sft {run.path}")
