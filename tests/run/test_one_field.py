"""One field of a run changed: what is the same is taken over, what is stale is said, and made again only when asked for."""

import json
import re
import shutil
from pathlib import Path

import pytest

from scdpo.cli.main import main
from scdpo.run.directory import SCHEMA, RunDirectory
from scdpo.run.fingerprint import model_digest
from scdpo.run.prepare import as_asked, prepare
from scdpo.run.stage import all_turns, owed
from scdpo.run.stages import STAGES


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def owed_of(run) -> list[str]:
    """The outputs that a run still owes, but for the report."""
    return [
        output.path.relative_to(run.path).as_posix()
        for stage, current in all_turns(run, STAGES)
        for output in owed(stage, current)
        if not output.anew
    ]


def test_another_beta_takes_over_what_is_the_same(finished, tmp_path):
    """By hard links; and the run that it comes from stays as it is, byte by byte."""
    source = shutil.copytree(finished, tmp_path / "a")
    before = files(source)
    run = prepare(tmp_path / "b", None, {"training.beta": "0.5"}, source)
    assert set(owed_of(run)) == {
        *(f"models/{arm}" for arm in ("dpo", "dpo-data-equal", "scdpo")),
        *(f"answers/{arm}.jsonl" for arm in ("dpo", "dpo-data-equal", "scdpo")),
        *(f"answers/scdpo-{draw}.jsonl" for draw in ("t1-0", "t1.5-0")),
        *(f"credit/log_probs/{arm}.jsonl" for arm in ("dpo", "dpo-data-equal", "scdpo")),
    }
    for name in ("models/sft/model.safetensors", "samples.jsonl", "trees.jsonl", "models/rft/model.safetensors"):
        assert (run.path / name).samefile(source / name), f"{name} is a link"
    assert run.recipe.training.beta == 0.5
    assert set(run.manifest()["taken_over"].values()) == {str(source)}
    assert not (run.path / "answers" / "scdpo.jsonl").exists()
    words = ["--out", str(run.path), "--workers", "1"]
    assert main(["run", *words]) == 0
    assert files(source) == before
    results = json.loads((run.path / "results.json").read_text())
    other = json.loads((source / "results.json").read_text())
    assert results["models"]["rft"] == other["models"]["rft"] and results["pairs"] == other["pairs"]


def test_fields_that_change_nothing_change_at_any_time(finished, tmp_path, capsys):
    """After an out-of-memory error with smaller micro-batches, on other cores, with another tracker: nothing is done again."""
    folder = shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(folder / "models" / "scdpo")
    before = files(folder / "models")
    words = ["--training.tokens_per_micro_batch", "900", "--engine.rows", "8", "--training.checkpoint_every", "7"]
    assert main(["train", str(folder), "--workers", "1", *words]) == 0
    after = files(folder / "models")
    assert {name: data for name, data in after.items() if not name.startswith("scdpo/")} == before
    assert RunDirectory.open(folder).recipe.training.tokens_per_micro_batch == 900


def test_another_field_is_refused_and_remade_when_asked(finished, tmp_path, capsys):
    folder = shutil.copytree(finished, tmp_path / "run")
    before = files(folder)
    words = ["run", "--out", str(folder), "--workers", "1", "--rft.lr", "1e-5"]
    assert main(words) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "was made otherwise: train (rft.lr: " in said and ", evaluate" in said
    assert re.search(r"--remake makes that again \(it took \d+ s\)", said) and "--from" in said
    assert files(folder) == before, "nothing is touched"
    assert main([*words, "--remake"]) == 0
    after = files(folder)
    same = {name for name in before if after.get(name) == before[name]}
    assert {"models/scdpo/model.safetensors", "samples.jsonl", "answers/scdpo.jsonl"} <= same
    assert "models/rft/model.safetensors" not in same and "answers/rft.from.json" not in same
    assert json.loads((folder / "logs" / "rft.jsonl").read_text().splitlines()[-1])["steps"]


def test_a_recipe_edited_by_hand_is_noticed(finished, tmp_path, capsys):
    """By every command: models trained at beta 1.0 are called 0.5 nowhere."""
    folder = shutil.copytree(finished, tmp_path / "run")
    recipe = folder / "recipe.toml"
    recipe.write_text(re.sub(r"(?m)^beta = .*$", "beta = 0.5", recipe.read_text()))
    for words in (["report", str(folder)], ["train", str(folder)], ["compare", str(folder), str(finished)]):
        assert main(words) == 2, words
        assert "training.beta: 1.0 there, 0.5 now" in " ".join(capsys.readouterr().err.split()), words


def test_the_whole_blocks_of_a_run_that_was_cut_off_are_taken_over(finished, tmp_path):
    """As copies: both runs go on writing them. The results are those of the run that was not cut off."""
    source = shutil.copytree(finished, tmp_path / "a")
    text = (source / "samples.jsonl").read_bytes()
    lines = text.splitlines(keepends=True)
    (source / "samples.jsonl").write_bytes(b"".join(lines[:30]))
    (source / "trees.jsonl").write_bytes(b"")
    run = prepare(tmp_path / "b", None, {}, source)
    assert owed_of(run)[:2] == ["samples.jsonl", "trees.jsonl"]
    assert main(["sample", str(run.path), "--workers", "1"]) == 0
    assert (run.path / "samples.jsonl").read_bytes() == text
    assert (source / "samples.jsonl").read_bytes() == b"".join(lines[:30])
    assert main(["fork", str(run.path), "--workers", "1"]) == 0
    assert (run.path / "trees.jsonl").read_bytes() == (finished / "trees.jsonl").read_bytes()


def test_a_shared_file_that_grows_is_a_copy_first(finished, tmp_path):
    """The temperature study of a run made larger, whose draws another run holds too."""
    source = shutil.copytree(finished, tmp_path / "a")
    before = files(source)
    run = prepare(tmp_path / "b", None, {}, source)
    draw = "answers/sft-t1.5-0.jsonl"
    assert (run.path / draw).samefile(source / draw)
    run = as_asked(run, {"temperature.problems": "40"})
    assert main(["temperature", str(run.path), "--workers", "1"]) == 0
    assert files(source) == before
    lines = (run.path / draw).read_bytes().splitlines(keepends=True)
    assert len(lines) == 40 and before[draw].startswith(b"".join(lines[:20])), "the whole blocks are taken over"


def test_another_seed_takes_over_nothing_but_problems(finished, tmp_path):
    run = prepare(tmp_path / "b", None, {"run.seed": "2"}, finished)
    assert not run.manifest().get("taken_over")
    assert files(run.path / "problems") == files(finished / "problems")


def test_a_run_does_not_come_from_itself(finished, capsys):
    assert main(["run", "--out", str(finished), "--from", str(finished)]) == 2
    assert "--from names the run itself" in capsys.readouterr().err


@pytest.mark.parametrize(("schema", "age"), [(None, "older"), (SCHEMA - 1, "older"), (SCHEMA + 1, "newer")])
def test_a_run_of_another_schema_is_refused_with_one_line(finished, tmp_path, capsys, schema, age):
    (tmp_path / "run").mkdir()
    shutil.copy(finished / "recipe.toml", tmp_path / "run")
    manifest = RunDirectory.open(finished).manifest()
    del manifest["schema"]
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest | ({"schema": schema} if schema else {})))
    assert main(["status", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert f"a run of an {age} scdpo" in error.replace("a newer", "an newer") and error.count("\n") == 1


def test_a_model_that_was_trained_on_is_another_one(finished, tmp_path):
    """Under the same path, with files of the same sizes."""
    folder = shutil.copytree(finished / "models" / "scdpo", tmp_path / "model")
    before = model_digest(folder)
    assert model_digest(shutil.copytree(folder, tmp_path / "copy")) == before
    shutil.copy(finished / "models" / "dpo" / "model.safetensors", folder)
    assert model_digest(folder) != before


def test_a_taken_over_run_counts_its_sources_once(finished, tmp_path, capsys):
    run = prepare(tmp_path / "b", None, {"training.beta": "0.5"}, finished)
    assert main(["status", str(run.path)]) == 0
    text = capsys.readouterr().out
    assert f"outputs taken over from {finished}" in " ".join(text.split()) or "taken over from" in text
    assert re.search(r"train +begun", text) and re.search(r"fork +done", text)
    taken = run.manifest()["taken_over"]
    as_asked(run, {"rft.lr": "1e-5"}, remake=True)
    gone = taken.keys() - run.manifest()["taken_over"].keys()
    assert gone == {"models/rft", "answers/rft.jsonl", "credit/log_probs/rft.jsonl"}


def test_other_problems_make_what_follows_from_them_stale(finished, tmp_path):
    """Other pairs: samples, trees and trainings, and neither the SFT model nor its answers."""
    folder = shutil.copytree(finished, tmp_path / "run")
    run = as_asked(RunDirectory.open(folder), {"problems.pairs": "36"}, remake=True)
    assert len(run.pair_problems) == 36
    assert {"samples.jsonl", "trees.jsonl", "models/rft", "models/scdpo", "answers/scdpo.jsonl"} <= set(owed_of(run))
    assert (folder / "models" / "sft").exists() and "answers/sft.jsonl" not in owed_of(run)
