"""The benchmark of training on a tiny model: both sides train on the same pairs. Speed itself is not what a test is for."""

import json

import pytest

from benchmarks.training.__main__ import main
from benchmarks.training.compare import Setting, expected_memory
from benchmarks.training.sides import StepFigures, trl_records
from benchmarks.training.trees import paper_rows
from scdpo.errors import ProblemError


@pytest.mark.slow
def test_both_sides_have_the_same_losses(story_model, worked, tmp_path, capsys):
    words = ["--model", str(story_model), "--data", worked, "--trees", "2", "--branches", "2", "--steps", "2", "--warm-up", "1"]
    words += ["--trl-batches", "2", "--tokens", "200", "--threads", "1", "--json", str(tmp_path / "figures.json")]
    assert main(["--against", "trl", *words]) == 0
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["max_loss_difference"] < 1e-4
    assert figures["ratio"]["pairs_per_second"] > 0
    assert figures["ratio"]["peak_memory"] > 0
    assert figures["pairs_per_step"] == 6
    assert len(figures["scdpo"]["losses"]) == len(figures["trl"]["losses"]) == 2
    assert figures["scdpo"]["losses"][0] != figures["scdpo"]["losses"][1], "the model moves"
    assert figures["tokens_per_step"]["trees"] < figures["tokens_per_step"]["pairs"]
    shown = capsys.readouterr().out
    assert "TRL, fastest" in shown
    assert "largest relative difference" in shown


def test_trees_of_the_papers_shape(story_problems, story_codec):
    """A naive pair and as many step-controlled ones as asked for, the same for the same seed; TRL counts the same tokens."""
    rows = paper_rows(story_problems, story_codec, 12, 3, 256, seed=5)
    assert rows == paper_rows(story_problems, story_codec, 12, 3, 256, seed=5)
    assert rows != paper_rows(story_problems, story_codec, 12, 3, 256, seed=6)
    for row in rows:
        naive, *controlled = (pair.fork for pair in row.pairs)
        assert naive == 0
        assert len(controlled) == 3 and all(fork > 0 for fork in controlled)
    for record, pair in zip(trl_records(rows), (pair for row in rows for pair in row.pairs), strict=True):
        assert (len(record["chosen_ids"]), len(record["rejected_ids"])) == (len(pair.chosen), len(pair.rejected))
    with pytest.raises(ProblemError, match="give more problems"):
        paper_rows(story_problems[:20], story_codec, 12, 3, 256)


def test_what_will_not_fit_is_left_out():
    """3 GB with 1 pair, 5 with 2: a line of 2 GB a pair from 1, so 12 pairs take 25."""
    tried = [Setting(count, (StepFigures(1.0, 0.7, peak),)) for count, peak in ((1, 3.0), (2, 5.0))]
    assert expected_memory(tried, 12) == 25.0
    assert expected_memory(tried[:1], 12) == 0.0


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["--trees", "0"], "--trees: input should be greater than or equal to 1"),
        (["--warm-up", "0"], "--warm-up: input should be greater than or equal to 1"),
        (["--trl-batches", "5"], "none divides the 12 pairs of a step"),
        (["--model", "./nowhere"], "no model folder"),
        (["--data", "nowhere.jsonl"], "nowhere.jsonl"),
        (["--json", "nowhere/figures.json"], "no such folder"),
    ],
)
def test_what_cannot_be_measured(words, cure, story_model, worked, capsys):
    given = ["--model", str(story_model), "--data", worked, *words]
    assert main(given) == 2
    assert cure in capsys.readouterr().err
