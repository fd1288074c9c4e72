"""`scdpo compare`, as it is typed: finished runs, their seeds and recipes, what it writes and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest

from scdpo.cli.main import main
from scdpo.problems.problem import Problem
from scdpo.report.result import DIFFERENCES, LABELS
from scdpo.run.comparison import compare_runs, distinct_names, identities
from scdpo.run.directory import RunDirectory
from scdpo.run.recipe import load_recipe
from tests.run.conftest import vouch


@pytest.fixture
def copied(finished, tmp_path):
    """Gives copies of the finished run with other recipe fields, and with every n-th answer of `scdpo` right.

    With another problems.seed its questions are others too, under the same ids.
    """

    def make(name, every=0, **fields):
        folder = shutil.copytree(finished, tmp_path / name, ignore=shutil.ignore_patterns("models", "cache", "samples.jsonl"))
        overrides = {field.replace("__", "."): str(value) for field, value in fields.items()}
        recipe = load_recipe(str(folder / "recipe.toml"), overrides)
        (folder / "recipe.toml").write_text(recipe.to_toml())
        if "problems__seed" in fields:
            rewrite(folder / "problems" / "test.jsonl", lambda _, line: line | {"question": f"{name}: {line['question']}"})
        right = {"outcome": "correct", "extracted": "1", "reason": "", "rule": ""}
        rewrite(
            folder / "answers" / "scdpo.jsonl",
            lambda number, line: line | {"verdict": right} if every and number % every == 0 else line,
        )
        return str(vouch(folder))

    return make


def rewrite(file, change):
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    text = "".join(json.dumps(change(number, line)) + "\n" for number, line in enumerate(lines))
    file.write_text(text, encoding="utf-8")


def test_seeds_and_recipes_side_by_side(copied, tmp_path, capsys):
    """Three seeds of a recipe, one with other problems, and a fourth run with another beta and the seeds of the first."""
    runs = [
        copied("one"),
        copied("two", run__seed=1, every=3),
        copied("three", run__seed=2, problems__seed=5, every=2),
        copied("other", training__beta=0.25, ray__gpus=1, every=2),
    ]
    out, numbers = tmp_path / "out", tmp_path / "numbers.json"
    assert main(["compare", *runs, "--out", str(out), "--json", str(numbers)]) == 0
    shown = capsys.readouterr().out
    assert "training.beta" in shown and "ray" not in shown
    assert "3 runs that differ in run.seed and problems.seed, on problems partly the same" in shown
    written = json.loads(numbers.read_text())
    assert json.loads((out / "compare.json").read_text()) == written
    assert {name: each["recipe"] for name, each in written["runs"].items()} == dict.fromkeys(("one", "two", "three"), "A") | {
        "other": "B"
    }
    pooled = written["recipes"]["A"]["differences"]["scdpo - sft"]
    assert (pooled["seeds"], pooled["n"], pooled["problems_of_seeds"]) == (3, 120, "partly the same")
    of_runs = [written["runs"][name]["differences"]["scdpo - sft"]["difference"] for name in ("one", "two", "three")]
    assert pooled["difference"] == pytest.approx(sum(of_runs) / 3, abs=1e-5)
    assert written["recipes"]["B"]["differences"]["scdpo - sft"]["resolved"] is False
    assert [(each["basis"], each["seeds"]) for each in written["between"]] == [("paired", [1, 1])] * len(LABELS)
    assert {path.name for path in out.iterdir()} == {"compare.html", "compare.json", "compare.md", "accuracy.svg", "tables"}
    tables = {path.name for path in (out / "tables").iterdir()}
    assert {"pooled-differences.tex", "between.md", "times.md", "trainings.md"} <= tables
    assert (out / "accuracy.svg").read_text().startswith("<svg xmlns=") and "one" in (out / "accuracy.svg").read_text()


def test_a_run_is_what_its_own_report_says(finished, copied):
    """Accuracies and differences of a run in a comparison are those of its results.json."""
    results = json.loads((finished / "results.json").read_text())
    first = compare_runs([str(finished), copied("other", training__beta=0.25)]).runs[0]
    assert {model: round(value.value, 6) for model, value in first.accuracy.items()} == {
        model: each["accuracy"] for model, each in results["models"].items()
    }
    for a, b in DIFFERENCES:
        estimate, reported = first.difference(a, b), results["differences"][f"{b} - {a}"]
        assert [round(estimate.low, 6), round(estimate.high, 6)] == reported["ci95"]
    assert first.stage_seconds == results["stage_seconds"] and first.training["scdpo"][-1]["pairs"]


def test_runs_that_cannot_be_compared(finished, copied, tmp_path, capsys):
    def refused(*runs):
        assert main(["compare", *map(str, runs)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    other = copied("other", training__beta=0.25)
    assert "at least two runs" in refused(finished)
    assert "given twice" in refused(finished, other, finished / ".")
    assert "is not a run" in refused(finished, tmp_path)
    assert "no run at" in refused(finished, tmp_path / "nothing")
    assert "has the recipe and the seeds of" in refused(finished, copied("again"))
    assert "is a run and has tables of its own" in refused(finished, other, "--out", other)
    shutil.copy(tmp_path / "other" / "problems" / "test.jsonl", tmp_path / "other" / "problems" / "dev.jsonl")
    dev = copied("dev", evaluation__split="dev", problems__dev=60)
    shutil.copy(tmp_path / "dev" / "problems" / "test.jsonl", tmp_path / "dev" / "problems" / "dev.jsonl")
    assert "evaluated on test problems and" in refused(finished, vouch(Path(dev)))
    answers = tmp_path / "other" / "answers" / "rft.jsonl"
    answers.write_text("".join(answers.read_text().splitlines(keepends=True)[:-1]))
    assert refused(finished, other).endswith(f"{other} has not all answers of rft yet; run: scdpo evaluate {other}\n")
    with pytest.raises(SystemExit):
        main(["compare"])
    assert "RUN" in capsys.readouterr().err
    assert main(["compare", str(finished), other, "--workers", "2"]) == 2
    assert 'do not know "--workers"' in capsys.readouterr().err


def test_names_tell_runs_apart(finished):
    recipe = RunDirectory.open(finished).recipe
    runs = [RunDirectory(finished.parent / place, recipe) for place in ("x/run", "y/run", "y/two")]
    assert distinct_names(runs) == ["x/run", "y/run", "y/two"]
    assert distinct_names(runs[1:]) == ["run", "two"]


def test_a_set_may_ask_a_question_twice():
    """MATH does: each time is a problem of its own, known alike in every run."""
    problems = [Problem("a", "2 + 2?", "4"), Problem("b", "3 + 3?", "6"), Problem("c", "2 + 2?", "4")]
    assert identities(problems) == ["2 + 2?", "3 + 3?", "2 + 2? (2)"]
