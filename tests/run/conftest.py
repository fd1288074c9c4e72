"""A problem family that a tiny model learns in seconds, and a recipe over it: whole runs inside the default suite."""

from __future__ import annotations

import json
from contextlib import contextmanager
from itertools import product

import pytest

from scdpo.cli.main import main
from scdpo.problems.stories import ITEMS, NAMES
from scdpo.run import pool
from scdpo.run.directory import RunDirectory
from scdpo.run.making import keep_notes
from scdpo.run.prepare import problems_from, problems_note
from scdpo.run.stage import all_turns
from scdpo.run.stages import STAGES
from scdpo.settings import Settings

SMALL = {
    "problems.sft": 300,
    "problems.pairs": 48,
    "problems.dev": 0,
    "problems.test": 60,
    "model.width": 32,
    "model.layers": 2,
    "model.heads": 2,
    "model.feed_forward": 64,
    "model.context": 64,
    "model.init_std": 0.1,
    "sft.lr": 6e-3,
    "sft.muon_lr": 0.012,
    "sft.epochs": 6,
    "sft.batch": 16,
    "sft.group_by_length": "false",
    "sft.threads": 1,
    "sft.checkpoint_every": 40,
    "engine.rows": 16,
    "sampling.max_samples": 8,
    "sampling.max_new_tokens": 40,
    "sampling.block": 12,
    "fork.attempts": 8,
    "fork.further_samples": 8,
    "training.epochs": 2,
    "training.batch": 8,
    "training.checkpoint_every": 3,
    "rft.batch": 8,
    "evaluation.max_new_tokens": 40,
    "evaluation.block": 20,
    "credit.problems": 50,
    "credit.samples": 2,
    "temperature.problems": 24,
    "temperature.temperatures": [0, 1.0, 1.5],
    "temperature.models": ["sft", "scdpo"],
}


CODE_FIELDS = {
    "steps.format": "auto",
    "code.format": "blocks",
    "model.context": 96,
    "sampling.max_new_tokens": 60,
    "evaluation.max_new_tokens": 60,
    "sandbox.sessions": 40,
    "sft.epochs": 7,
    "temperature.problems": 0,
}


def easy_file(folder, solve):
    """A file of two-step sums of digits from 0 to 4, with facts for the oracle; solve(name, a, b) gives the worked solution."""
    lines = []
    for name, item, (a, b) in product(NAMES, ITEMS[:4], product(range(5), repeat=2)):
        facts = {"equations": {name: [a, "+", b, a + b], "All": [a + b, "+", 1, a + b + 1]}}
        question = f"{name} has {a} and {b} {item}. One more comes."
        lines.append({"question": question, "answer": a + b + 1, "solution": solve(name, a, b), "facts": facts})
    file = folder / "problems.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return file


def words_of(fields):
    """Recipe fields as command-line words."""
    return [word for name, value in fields.items() for word in (f"--{name}", str(value))]


@pytest.fixture(scope="session")
def easy_problems(tmp_path_factory):
    solve = lambda name, a, b: f"{name}: {a} + {b} = {a + b}\nAll: {a + b} + 1 = {a + b + 1}\n#### {a + b + 1}"  # noqa: E731
    return easy_file(tmp_path_factory.mktemp("easy"), solve)


@pytest.fixture(scope="session")
def small_options(easy_problems):
    """Command-line words that make the quickstart a run of seconds."""
    return words_of(SMALL | {"problems.source": str(easy_problems)})


@pytest.fixture(scope="session")
def observed(tmp_path_factory, small_options):
    """(a run with one worker, never interrupted; the recipe's fields that its tasks read, by the task's function and model).
    Tests do not change the run."""
    folder = tmp_path_factory.mktemp("run") / "one"
    with reads_of_tasks() as reads:
        assert main(["run", "--out", str(folder), "--workers", "1", *small_options]) == 0
    return folder, reads


@pytest.fixture(scope="session")
def finished(observed):
    """The run alone."""
    return observed[0]


@contextmanager
def reads_of_tasks():
    """Keeps which fields of the run's recipe the tasks of this process read: (function, model or None) -> for each field its
    paths, several where sections share their settings."""
    reads: dict[tuple[str, str | None], set[tuple[str, ...]]] = {}
    at_work: list[tuple[set[tuple[str, ...]], dict[int, list[str]]]] = []
    of_settings, of_task = Settings.__getattribute__, pool.run_task

    def read(self, name):
        value = of_settings(self, name)
        if at_work and name in type(self).model_fields and id(self) in at_work[-1][1]:
            at_work[-1][0].add(tuple(f"{section}.{name}" for section in at_work[-1][1][id(self)]))
        return value

    def run_task(worker, job, report):
        function, task, _ = job
        model = task[1] if function.__name__ == "train_arm" else None
        fields = reads.setdefault((function.__name__, model), set())
        sections: dict[int, list[str]] = {}
        for key, section in paths_of(worker.run.recipe):
            sections.setdefault(key, []).append(section)
        at_work.append((fields, sections))
        try:
            return of_task(worker, job, report)
        finally:
            at_work.pop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Settings, "__getattribute__", read, raising=False)
        patch.setattr(pool, "run_task", run_task)
        yield reads


def paths_of(settings, before=""):
    """(id, "section.section") of every section of a recipe, however deep."""
    for name in type(settings).model_fields:
        value = settings.__dict__[name]
        if isinstance(value, Settings):
            yield id(value), f"{before}{name}"
            yield from paths_of(value, f"{before}{name}.")


def computed(name: str, a: int, b: int) -> str:
    """A worked solution whose first sum is computed where it is above 4."""
    step = f"<|text|>{name}: {a} + {b} = {a + b}<|endofblock|>"
    if a + b > 4:
        step = f"<|code|>{name} = {a} + {b}\nprint({name})<|endofblock|><|execution|>{a + b}<|endofblock|>"
    return f"{step}<|text|>All: {a + b} + 1 = {a + b + 1}<|endofblock|><|text|>#### {a + b + 1}<|endofblock|>"


@pytest.fixture(scope="session")
def coded_options(tmp_path_factory):
    """Command-line words that make the quickstart a run of seconds, with code."""
    source = easy_file(tmp_path_factory.mktemp("coded"), computed)
    return words_of(SMALL | CODE_FIELDS | {"problems.source": str(source)})


@pytest.fixture(scope="session")
def coded(tmp_path_factory, coded_options):
    """A finished run with one worker. Tests do not change it."""
    folder = tmp_path_factory.mktemp("run") / "one"
    assert main(["run", "--out", str(folder), "--workers", "1", *coded_options]) == 0
    return folder


def vouch(folder):
    """Let a run pass for one whose every output was made as its recipe says, after a test has changed the one or the other."""
    run = RunDirectory.open(folder)
    problems_note(run).write_text(problems_from(run).to_text())
    keep_notes(output for stage, current in all_turns(run, STAGES) for output in stage.outputs(current) if output.is_begun)
    return folder


class Unwatched:
    """A watcher that shows nothing."""

    def begin(self, stage, unit, tasks, done):
        pass

    def update(self, task, done, total, said=""):
        pass

    def say(self, found):
        pass

    def end(self, stage, seconds, note):
        pass

    def stop(self):
        pass
