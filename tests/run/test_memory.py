"""What sample, fork and evaluate hold does not grow with the number of problems, and is gone when a training begins."""

import gc
import tracemalloc
import weakref
from functools import partial

import pytest

from scdpo.problems.jsonl import problem_lines
from scdpo.problems.problem import Problem
from scdpo.run.directory import RunDirectory
from scdpo.run.making import keep_notes
from scdpo.run.pool import Workers
from scdpo.run.recipe import build_recipe
from scdpo.run.stages.evaluate import EVALUATE
from scdpo.run.stages.fork import FORK
from scdpo.run.stages.sample import SAMPLE
from scdpo.run.stages.train import add_reference, train_arm
from scdpo.run.tools import Tools
from scdpo.run.worker import Worker
from scdpo.sampling.arms import ARMS
from tests.run.conftest import Unwatched

LETTERS = 4000
"""Of a problem, and of each record: a hundred problems held would be 400 kB."""


def answered(worker, *given, report):
    """Stands for a stage's task: a record of some kilobytes for each problem of the block."""
    problems = next(part for part in given if isinstance(part, list))
    report(len(problems), len(problems))
    return [{"problem": problem.id, "text": "y" * LETTERS} for problem in problems]


def run_of(folder, count):
    """A run with `count` problems a stage and folders for models."""
    run = RunDirectory(folder, build_recipe({"sampling": {"block": 4}, "evaluation": {"block": 4}}, "made", {}))
    for place in ("problems", *(f"models/{model}" for model in ("sft", *ARMS))):
        (folder / place).mkdir(parents=True)
    lines = problem_lines(Problem(f"p{n}", f"{n} " + "x" * LETTERS, "1") for n in range(count))
    for split in ("sft", "pairs", run.recipe.evaluation.split):
        run.problem_file(split).write_text(lines)
    return run


def peak(folder, count, processes):
    """The most that the three stages hold at once in this process, in bytes."""
    run = run_of(folder, count)
    tracemalloc.start()
    for stage in (SAMPLE, FORK, EVALUATE):
        outputs = stage.outputs(run.round(1))
        keep_notes(outputs)
        stage.make(Tools(run, processes, processes, Unwatched()), run.round(1), outputs)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    wanted = [f"p{n}" for n in range(count)]
    first = run.round(1)
    files = (first.samples, first.trees, *(first.answers(model) for model in ("sft", *ARMS)))
    assert all([record["problem"] for record in file] == wanted for file in files)
    return most


@pytest.mark.parametrize("workers", [1, 2])
def test_ten_times_the_problems_take_no_more_memory(tmp_path, monkeypatch, workers):
    for task in ("stages.sample.sampled", "stages.fork.forked", "draws.solved"):
        monkeypatch.setattr(f"scdpo.run.{task}", answered)
    monkeypatch.setattr("scdpo.cores.usable_cores", lambda: 2)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    with Workers(workers, run_of(tmp_path / "own", 4)) as processes:
        peak(tmp_path / "warm", 8, processes)
        gc.collect()
        few, many = (peak(tmp_path / str(count), count, processes) for count in (40, 400))
    assert many - few < 100 * LETTERS, f"{few} bytes for 40 problems, {many} for 400"


@pytest.mark.parametrize("load", [Worker.engine, Worker.scorer])
@pytest.mark.parametrize("task", [add_reference, partial(train_arm, arm="scdpo")])
def test_a_training_has_the_memory_of_what_sampled_or_scored(finished, monkeypatch, load, task):
    """The reference log-probs and the trainings of a process begin without the model that it had for another stage."""
    worker = Worker(RunDirectory.open(finished))
    held = weakref.ref(load(worker, finished / "models" / "sft"))
    assert held() is not None
    found = []

    def look(*given, **options):
        found.append(held())
        return ({},)

    monkeypatch.setattr("scdpo.training.train.with_reference", look)
    monkeypatch.setattr("scdpo.training.train.train_preference", look)
    task(worker, 1, report=print)
    assert found == [None]
