"""A run's evaluation as a task of lm-evaluation-harness: the same verdicts, problem by problem (docs/lm-eval.md)."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from scdpo.cli.main import main
from scdpo.evaluation.lm_eval_task import read_task, score


@pytest.fixture(scope="module")
def task(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lm-eval") / "task"
    assert main(["lm-eval-task", str(finished), "--out", str(folder), "--name", "easy"]) == 0
    return folder


def answers_of(run, model):
    return {record["problem"]: record for record in map(json.loads, (run / "answers" / f"{model}.jsonl").open())}


def test_the_task_grades_as_the_run_does(finished, task):
    """Our own answers, given to the task's scoring, get the verdicts that the run gave them."""
    answers = answers_of(finished, "scdpo")
    problems = read_task(task / "problems.jsonl")
    assert [problem["id"] for problem in problems] == list(answers)
    for problem in problems:
        record = answers[problem["id"]]
        text = "".join(step["text"] for step in record["steps"])
        outcome = record["verdict"]["outcome"]
        assert score(problem, text, task / "tokenizer") == {"acc": outcome == "correct", "undecided": outcome == "undecided"}
    assert {record["verdict"]["outcome"] for record in answers.values()} > {"correct"}


def test_a_text_as_long_as_may_be_has_not_ended(task):
    problem = read_task(task / "problems.jsonl")[0]
    long = "Ada: 1 + 1 = 2\n" * 10 + f"#### {problem['answer']}"
    assert score(problem, long, task / "tokenizer") == {"acc": 0, "undecided": 1}
    assert score(problem, f"#### {problem['answer']}", task / "tokenizer")["acc"] == 1
    assert score(problem | {"unfit": "long"}, f"#### {problem['answer']}", task / "tokenizer") == {"acc": 0, "undecided": 1}


def test_what_cannot_be_a_task_is_refused(finished, coded, task, tmp_path, capsys):
    for run, out, message in ((coded, tmp_path / "x", "solutions that run code"), (finished, task, "not empty")):
        assert main(["lm-eval-task", str(run), "--out", str(out)]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.lm_eval
@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="lm-eval is not installed here")
@pytest.mark.parametrize("model", ["sft", "scdpo"])
def test_the_harness_gives_our_accuracy(finished, task, tmp_path, model):
    """lm_eval as a user types it: each problem's text and verdict are those of our evaluation, and so is the accuracy."""
    arguments = f"pretrained={finished / 'models' / model},dtype=float32"
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--model_args", arguments, "--tasks", "easy"]
    command += [
        "--include_path",
        str(task),
        "--batch_size",
        "16",
        "--device",
        "cpu",
        "--log_samples",
        "--output_path",
        str(tmp_path),
    ]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = answers_of(finished, model)
    (samples,) = tmp_path.rglob("samples_easy_*.jsonl")
    seen = list(map(json.loads, samples.open()))
    assert len(seen) == len(answers)
    for sample in seen:
        ours = answers[sample["doc"]["id"]]
        assert sample["resps"][0][0] == "".join(step["text"] for step in ours["steps"])
        assert sample["acc"] == (ours["verdict"]["outcome"] == "correct")
    (results,) = tmp_path.rglob("results_*.json")
    accuracy = json.loads(results.read_text())["results"]["easy"]["acc,none"]
    right = sum(record["verdict"]["outcome"] == "correct" for record in answers.values())
    assert accuracy == pytest.approx(right / len(answers), abs=1e-12)
