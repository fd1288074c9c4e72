"""A run on trees that it is given: imported pairs train, are evaluated and reported, with no sampling and fewer models."""

import json
import shutil

import pytest
from safetensors.torch import load_file

from scdpo.cli.main import main
from tests.run.conftest import SMALL, words_of


@pytest.fixture(scope="module")
def imported(finished, tmp_path_factory):
    """The finished run's pairs, exported for TRL and imported again."""
    folder = tmp_path_factory.mktemp("exchange")
    assert main(["export", str(finished), "--format", "trl", "--out", str(folder / "rows")]) == 0
    words = ["--out", str(folder / "trees.jsonl"), "--tokenizer", str(finished / "models" / "sft")]
    assert main(["import", str(folder / "rows"), *words, "--json", str(folder / "counts.json")]) == 0
    return folder / "trees.jsonl"


def options(finished, easy_problems, trees, arms):
    fields = SMALL | {
        "problems.source": str(easy_problems),
        "problems.sft": 0,
        "model.path": str(finished / "models" / "sft"),
        "sampling.trees": str(trees),
        "run.arms": json.dumps(arms),
        "credit.problems": 20,
        "temperature.problems": 0,
    }
    return words_of(fields)


def test_a_run_on_imported_pairs(finished, easy_problems, imported, tmp_path):
    """Its pairs are those of the file, its report has the models that were trained and no others."""
    folder = tmp_path / "run"
    arms = ["dpo", "scdpo"]
    assert main(["run", "--out", str(folder), "--workers", "1", *options(finished, easy_problems, imported, arms)]) == 0
    results = json.loads((folder / "results.json").read_text())
    counts = json.loads((imported.parent / "counts.json").read_text())
    assert list(results["models"]) == ["sft", *arms]
    assert list(results["differences"]) == ["dpo - sft", "scdpo - sft", "scdpo - dpo"]
    taken = results["pairs"]["scdpo"]
    assert (taken["naive"], taken["step_controlled"]) == (counts["naive pairs"], counts["step-controlled pairs"])
    assert results["sampling"]["problems_with"] == {"given": counts["trees"]}
    assert "SCDPO against DPO" in (folder / "report.md").read_text()
    assert (folder / "report.html").is_file()
    lines = [json.loads(line) for line in imported.read_text().splitlines()]
    stored = [json.loads(line) for line in (folder / "trees.jsonl").read_text().splitlines()]
    assert [line["tree"] for line in stored] == [line["tree"] for line in lines]
    again = ["run", "--out", str(folder), "--workers", "1", *options(finished, easy_problems, imported, arms)]
    imported.rename(imported.with_suffix(".away"))
    try:
        assert main(again) == 0, "the run needs the file no more"
    finally:
        imported.with_suffix(".away").rename(imported)


def test_a_runs_trees_serve_another_run_as_they_stand(finished, easy_problems, tmp_path):
    """`--sampling.trees RUN/trees.jsonl`: the models are those of the run that made the trees, but for the rounding of
    reference log-probs, which are computed in other batches."""
    folder, arms = tmp_path / "run", ["rft", "dpo", "scdpo"]
    words = options(finished, easy_problems, finished / "trees.jsonl", arms)
    assert main(["run", "--out", str(folder), "--workers", "1", *words, "--credit.problems", "0"]) == 0
    for arm in arms:
        first, second = (load_file(run / "models" / arm / "model.safetensors") for run in (folder, finished))
        for name, values in first.items():
            assert values.allclose(second[name], rtol=0, atol=0 if arm == "rft" else 1e-5), arm
    pairs = [json.loads((run / "results.json").read_text())["pairs"]["scdpo"] for run in (folder, finished)]
    assert pairs[0] == pairs[1]


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        (["dpo-data-equal", "scdpo"], "needs sampled solutions"),
        (["dpo"], 'run.arms has no "scdpo"'),
    ],
)
def test_arms_without_pairs_are_refused(arms, message, finished, easy_problems, imported, tmp_path, capsys):
    assert main(["run", "--out", str(tmp_path / "run"), *options(finished, easy_problems, imported, arms)]) == 2
    assert message in capsys.readouterr().err


def test_no_naive_pairs(finished, easy_problems, imported, tmp_path, capsys):
    """Step-DPO's data has none: the arm dpo is refused at the start, by name."""
    lines = [json.loads(line) for line in imported.read_text().splitlines()]
    for line in lines:
        line["tree"]["branches"] = [branch for branch in line["tree"]["branches"] if branch["fork"]]
    file = tmp_path / "controlled.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    arms = ["rft", "dpo", "scdpo"]
    assert main(["run", "--out", str(tmp_path / "run"), *options(finished, easy_problems, file, arms)]) == 2
    assert 'set run.arms = ["rft", "scdpo"]' in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_another_tokenizer_is_found_out(finished, easy_problems, imported, tmp_path, capsys):
    """Ids that spell another text with the run's tokenizer stop the run before any training."""
    lines = [json.loads(line) for line in imported.read_text().splitlines()]
    step = lines[0]["tree"]["trunk"]["steps"][0]
    step["ids"] = [id + 1 for id in step["ids"]]
    file = tmp_path / "other.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = options(finished, easy_problems, file, ["scdpo"])
    assert main(["run", "--out", str(tmp_path / "run"), "--workers", "1", *words]) == 2
    assert "another tokenizer" in capsys.readouterr().err
    assert not (tmp_path / "run" / "models" / "scdpo").exists()


def test_evaluated_questions_are_left_out(finished, easy_problems, imported, tmp_path, capsys):
    """A tree whose question is among the test problems is not trained on, and the run says so."""
    lines = [json.loads(line) for line in imported.read_text().splitlines()]
    test = json.loads((finished / "problems" / "test.jsonl").read_text().splitlines()[0])
    lines[0]["tree"]["question"] = test["question"]
    file = tmp_path / "leak.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    folder = tmp_path / "run"
    assert main(["sft", str(folder), "--workers", "1", *options(finished, easy_problems, file, ["scdpo"])]) == 0
    assert main(["sample", str(folder), "--workers", "1"]) == 0
    assert main(["fork", str(folder), "--workers", "1"]) == 0
    assert f"{len(lines) - 1} trees as given, 1 left out" in capsys.readouterr().out


def test_export_of_an_unfinished_run(finished, tmp_path, capsys):
    shutil.copytree(finished, tmp_path / "run", ignore=shutil.ignore_patterns("models", "trees.jsonl"))
    assert main(["export", str(tmp_path / "run"), "--format", "trl", "--out", str(tmp_path / "rows")]) == 2
    assert "has not all its trees yet" in capsys.readouterr().err
