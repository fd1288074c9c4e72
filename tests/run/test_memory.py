"""What sample, fork and evaluate hold does not grow with the number of problems, and is gone when a training begins."""

import gc
import tracemalloc
import weakref
from functools import partial

import pytest

from scdpo.problems.jsonl import problem_lines
from scdpo.problems.problem import Problem
from scdpo.run import stages, tasks
from scdpo.run.directory import RunDirectory
from scdpo.run.pool import Workers
from scdpo.run.recipe import build_recipe
from scdpo.run.stages import Bench
from scdpo.sampling.arms import ARMS
from tests.run.conftest import Unwatched

LETTERS = 4000
"""Of a problem, and of each record: a hundred problems held would be 400 kB."""


def answered(path, *given, report):
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
    for split in ("pairs", run.recipe.evaluation.split):
        run.problem_file(split).write_text(lines)
    return run


def peak(folder, count, processes):
    """The most that the three stages hold at once in this process, in bytes."""
    run = run_of(folder, count)
    tracemalloc.start()
    for stage in (stages.sample, stages.fork, stages.evaluate):
        stage(Bench(run, processes, processes, Unwatched()), run.round(1))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    wanted = [f"p{n}" for n in range(count)]
    first = run.round(1)
    files = (first.samples, first.trees, *(first.answers(model) for model in ("sft", *ARMS)))
    assert all([record["problem"] for record in file] == wanted for file in files)
    return most


@pytest.mark.parametrize("workers", [1, 2])
def test_ten_times_the_problems_take_no_more_memory(tmp_path, monkeypatch, workers):
    for task in ("sample_task", "fork_task", "answer_task"):
        monkeypatch.setattr(stages, task, answered)
    monkeypatch.setattr("scdpo.cores.usable_cores", lambda: 2)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    with Workers(workers) as processes:
        peak(tmp_path / "warm", 8, processes)
        gc.collect()
        few, many = (peak(tmp_path / str(count), count, processes) for count in (40, 400))
    assert many - few < 100 * LETTERS, f"{few} bytes for 40 problems, {many} for 400"


@pytest.mark.parametrize("load", [tasks.load_engine, tasks.load_scorer])
@pytest.mark.parametrize("task", [tasks.reference_task, partial(tasks.train_task, arm="scdpo")])
def test_a_training_has_the_memory_of_what_sampled_or_scored(finished, monkeypatch, load, task):
    """The reference log-probs and the trainings of a process begin without the model that it had for another stage."""
    made = load(finished, finished / "models" / "sft")
    held = weakref.ref(made[0] if isinstance(made, tuple) else made)
    del made
    assert held() is not None
    found = []

    def look(*given, **options):
        found.append(held())
        return ({},)

    monkeypatch.setattr("scdpo.training.train.with_reference", look)
    monkeypatch.setattr("scdpo.training.train.train_preference", look)
    task(finished, 1, report=print)
    assert found == [None]
