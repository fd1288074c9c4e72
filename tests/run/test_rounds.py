"""Iterated rounds, through the command that users type: what a later round starts from, refers to and leaves."""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from scdpo.cli.main import main
from scdpo.errors import RecipeError
from scdpo.evaluation.statistics import paired_difference
from scdpo.run import worker
from scdpo.run.directory import RunDirectory
from scdpo.run.prepare import prepare
from scdpo.run.recipe import load_recipe
from scdpo.run.results import outcomes, read_answers
from scdpo.training.adapters import base_of, is_adapter
from scdpo.training.model_files import load_model
from scdpo.training.reference import reference_log_probs
from scdpo.training.train import rows_of
from tests.run.conftest import vouch
from tests.run.test_run import records, weights
from tests.training.conftest import same
from tests.training.conftest import weights as tensors

ROUND_RECORDS = ("samples.jsonl", "trees.jsonl", "answers/scdpo.jsonl", "models/scdpo/model.safetensors")
LOG_2 = pytest.approx(math.log(2), abs=1e-6)


def later(folder, number=2):
    return {name: (folder / "rounds" / str(number) / name).read_bytes() for name in ROUND_RECORDS}


def first_loss(log):
    return json.loads(log.read_text().splitlines()[0])["loss"]


@pytest.fixture(scope="module")
def iterated(finished, small_options, tmp_path_factory):
    """A run of two rounds with one worker, from the SFT model of `finished`. Tests do not change it."""
    words = dict(zip(small_options[::2], small_options[1::2], strict=True))
    fields = {word.removeprefix("--"): value for word, value in words.items()} | {"run.rounds": "2"}
    run = prepare(tmp_path_factory.mktemp("rounds") / "two", None, fields)
    shutil.copytree(finished / "models" / "sft", run.round(1).model("sft"))
    vouch(run.path)
    assert main(["run", "--out", str(run.path), "--workers", "1"]) == 0
    return run.path


@pytest.fixture
def after_one(iterated, tmp_path):
    """Gives runs that have their first round and nothing of the second, with other recipe fields where these are given."""

    def make(name, **fields):
        folder = shutil.copytree(iterated, tmp_path / name, ignore=shutil.ignore_patterns("rounds", "results.json"))
        recipe = load_recipe(str(folder / "recipe.toml"), fields)
        (folder / "recipe.toml").write_text(recipe.to_toml())
        return vouch(folder)

    return make


def test_the_first_round_is_a_run_without_further_ones(finished, iterated):
    assert records(iterated) == records(finished)
    assert weights(iterated) == weights(finished)
    assert not (finished / "rounds").exists()
    assert "rounds" not in json.loads((finished / "results.json").read_text())


def test_a_later_round_leaves_its_own_records(iterated):
    """Other draws than the first round's, from another model; one arm, one model evaluated, no samples for equal data."""
    first, second = RunDirectory.open(iterated).rounds
    assert all(len(second.read_samples()) == len(each.read_samples()) for each in (first, second))
    assert later(iterated)["samples.jsonl"] != (iterated / "samples.jsonl").read_bytes()
    assert [path.name for path in (second.path / "models").iterdir() if path.is_dir()] == ["scdpo"]
    assert [path.name for path in (second.path / "answers").glob("*.jsonl")] == ["scdpo.jsonl"]
    assert not any(record.further for record in second.read_trees())
    manifest = json.loads((iterated / "manifest.json").read_text())
    assert "scdpo.2" in manifest["fingerprints"]
    assert set(manifest["stage_seconds"]) >= {"sample", "sample.2", "fork.2", "train.2", "evaluate.2"}


def test_the_results_tell_each_round(iterated):
    """results.json against the answers themselves; the tables say the same."""
    results = json.loads((iterated / "results.json").read_text())
    first, second = RunDirectory.open(iterated).rounds
    right = [outcomes(read_answers(each, "scdpo")) for each in (first, second)]
    expected = paired_difference(*right)
    told = results["rounds"][1]
    assert [each["round"] for each in results["rounds"]] == [1, 2]
    assert told["accuracy"] == pytest.approx(sum(right[1]) / 60, abs=1e-6)
    assert told["difference_to_start"]["difference"] == pytest.approx(expected.value, abs=1e-6)
    assert told["difference_to_start"]["resolved"] == expected.is_resolved
    assert results["rounds"][0]["difference_to_sft"] == results["differences"]["scdpo - sft"]
    assert told["pairs"]["total"] == told["pairs"]["naive"] + told["pairs"]["step_controlled"] > 0
    table = (iterated / "tables" / "rounds.md").read_text()
    (counts,) = [line for line in table.splitlines() if line.startswith("| naive pairs")]
    assert counts.split("|")[3].strip() == str(told["pairs"]["naive"])
    for page in ("report.md", "report.html"):
        text = (iterated / page).read_text()
        assert "SCDPO, round 2" in text and "step-controlled pairs" in text


def test_stage_by_stage_from_the_model_just_trained(iterated, after_one, monkeypatch, capsys):
    """Single commands take up the second round and give its bytes; it is sampled and forked with the first round's scdpo."""
    folder = after_one("staged")
    opened = []
    monkeypatch.setattr(worker, "open_engine", spy(worker.open_engine, opened))
    for stage in ("sample", "fork"):
        assert main([stage, str(folder), "--workers", "1"]) == 0
    assert {path.relative_to(folder) for path in opened} == {(folder / "models" / "scdpo").relative_to(folder)}
    assert main(["report", str(folder)]) == 2
    assert f"has not all answers of scdpo of round 2 yet; run: scdpo evaluate {folder}" in capsys.readouterr().err
    for stage in ("train", "evaluate", "report"):
        assert main([stage, str(folder), "--workers", "1"]) == 0
    assert later(folder) == later(iterated)
    assert "1/1 train, round 2" in capsys.readouterr().out


def spy(function, seen):
    def call(settings, folder, *rest):
        seen.append(folder)
        return function(settings, folder, *rest)

    return call


def test_a_round_needs_the_model_of_the_one_before(after_one, capsys):
    folder = after_one("early")
    shutil.rmtree(folder / "models" / "scdpo")
    assert main(["sample", str(folder)]) == 2
    assert f"has no model scdpo of round 1 yet; run: scdpo train {folder}" in capsys.readouterr().err


def test_two_workers_and_kill_nine_give_the_same_round(iterated, after_one):
    """With what a kill leaves of the second round's sampling (a block and a torn line), killed with SIGKILL in its training,
    and continued, all with two workers."""
    folder = after_one("killed")
    whole = (iterated / "rounds" / "2" / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "rounds" / "2").mkdir(parents=True)
    (folder / "rounds" / "2" / "samples.jsonl").write_bytes(b"".join(whole[:14])[:-9])
    vouch(folder)
    command = ["run", "--out", str(folder), "--workers", "2"]
    process = subprocess.Popen([sys.executable, "-m", "scdpo", *command], stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 240
    while not any(folder.glob("rounds/2/models/scdpo.checkpoints/checkpoint-*")):
        assert process.poll() is None, "the run ended before a checkpoint"
        assert time.monotonic() < deadline, "no checkpoint came"
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"
    assert main(command) == 0
    assert later(folder) == later(iterated)
    assert records(folder) == records(iterated)


def second_round_data(folder, source):
    """Give a run the samples and trees of the second round of another; they do not depend on the reference."""
    (folder / "rounds" / "2").mkdir(parents=True)
    for name in ROUND_RECORDS[:2]:
        shutil.copy(source / "rounds" / "2" / name, folder / "rounds" / "2" / name)
    vouch(folder)


def test_moved_and_kept_reference(iterated, after_one):
    """Moved: policy and reference start equal, the first loss is log 2. Kept, with all pairs in the first step: it is the mean
    of -log sigmoid(beta * margin) with the margins of the first round's scdpo over the SFT model."""
    assert first_loss(iterated / "rounds" / "2" / "logs" / "scdpo.jsonl") == LOG_2
    folder = after_one("kept", **{"run.reference": "kept", "training.batch": "1000"})
    second_round_data(folder, iterated)
    assert main(["train", str(folder), "--workers", "1"]) == 0
    run = RunDirectory.open(folder)
    first, second = run.rounds
    rows, _ = rows_of(
        [record.tree for record in second.read_trees() if record.tree],
        worker.Worker(run).codec,
        run.recipe.model.context,
    )
    policy, reference = (
        torch.tensor([pair for tree in reference_log_probs(load_model(model), rows, 2048) for pair in tree])
        for model in (first.model("scdpo"), first.model("sft"))
    )
    chosen, rejected = (policy - reference).T
    expected = -torch.nn.functional.logsigmoid(run.recipe.training.beta * (chosen - rejected)).mean().item()
    assert expected != LOG_2
    assert first_loss(second.log("scdpo")) == pytest.approx(expected, abs=1e-5)


LORA = {"training.lora.rank": "4", "training.optimizer": "adamw", "training.lr": "1e-3"}


def test_adapters_are_merged_for_the_next_round(iterated, after_one):
    """The round starts from the first round's adapters in their base, as one plain model; its own adapters lie on that, also
    where the run was moved. The first loss is log 2 with the reference moved, and not with it kept."""
    folder = after_one("adapters", **LORA)
    for arm in ("rft", "dpo", "dpo-data-equal"):
        shutil.rmtree(folder / "models" / arm, ignore_errors=True)
        shutil.copytree(iterated / "models" / "sft", folder / "models" / arm)  # nothing of this test needs them
    shutil.rmtree(folder / "models" / "scdpo")
    vouch(folder)
    for stage in ("train", "sample", "fork", "train", "evaluate"):
        assert main([stage, str(folder), "--workers", "1"]) == 0
    moved = folder.rename(folder.with_name("elsewhere"))
    first, second = RunDirectory.open(moved).rounds
    assert is_adapter(first.model("scdpo")) and not is_adapter(second.start)
    assert same(load_model(first.model("scdpo")).state_dict(), tensors(second.start), tolerance=0)
    assert not same(tensors(first.model("sft")), tensors(second.start), tolerance=0)
    assert base_of(second.model("scdpo")) == second.start.resolve()
    assert first_loss(second.log("scdpo")) == LOG_2
    shutil.rmtree(second.model("scdpo"))
    kept = load_recipe(str(moved / "recipe.toml"), {"run.reference": "kept"})
    (moved / "recipe.toml").write_text(kept.to_toml())
    vouch(moved)
    assert main(["train", str(moved), "--workers", "1"]) == 0
    assert first_loss(second.log("scdpo")) != LOG_2
    assert base_of(second.model("scdpo")) == second.start.resolve()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"run.reference": "kept"}, "run.rounds is 1; raise it"),
        ({"run.rounds": "2", "engine.kind": "server"}, "set another engine.kind"),
        ({"run.rounds": "0"}, "run.rounds: input should be greater than or equal to 1"),
    ],
)
def test_recipes_that_do_not_fit(fields, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("quickstart", fields)
