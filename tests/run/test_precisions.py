"""precision = "auto" in a run: decided once, where the run begins, recorded with its reason, said, and kept."""

import json
import os
import platform
import subprocess
import sys
import tomllib

import pytest

from scdpo.cli.main import main
from scdpo.errors import RunError
from scdpo.run.directory import RunDirectory
from scdpo.run.precisions import SECTIONS, choice_for, precision_lines, settle_precisions
from scdpo.run.prepare import prepare
from scdpo.run.recipe import load_recipe, packaged_recipes
from scdpo.run.smoke import prepare_smoke
from tests.run.conftest import vouch, words_of

FEW = {"problems.sft": "24", "problems.pairs": "4", "problems.dev": "0", "problems.test": "4", "sft.epochs": "1"}
AUTO = {f"{section}.precision": "auto" for section in SECTIONS}
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
QUICK = ("quickstart", "quickstart-code")


@pytest.fixture
def processor(monkeypatch):
    """processor(True): from now on this machine multiplies bfloat16."""

    def multiplies(bfloat16: bool) -> None:
        monkeypatch.setattr("scdpo.precision.instructions", lambda: {"avx512_bf16"} if bfloat16 else set())
        monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX512")
        monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: True)

    return multiplies


def formats(run) -> set[str]:
    return {getattr(run.recipe, section).precision for section in SECTIONS}


@pytest.mark.parametrize(("able", "taken"), [(True, "bfloat16"), (False, "float32")])
def test_a_new_run_records_what_it_takes_and_why(able, taken, processor, tmp_path):
    processor(able)
    run = prepare(tmp_path / "run", "quickstart", FEW | AUTO)
    written = tomllib.loads((tmp_path / "run" / "recipe.toml").read_text())
    assert {written[section]["precision"] for section in SECTIONS} == {taken} == formats(run)
    recorded = json.loads((tmp_path / "run" / "manifest.json").read_text())["precision"]
    assert set(recorded) == set(SECTIONS)
    assert all(facts["taken"] == taken and "bfloat16" in facts["why"] for facts in recorded.values())


def test_only_what_was_left_to_the_machine_is_recorded(processor, tmp_path):
    processor(True)
    run = prepare(tmp_path / "run", "quickstart", FEW | {"engine.precision": "auto"})
    assert set(run.manifest()["precision"]) == {"engine"}
    assert (run.recipe.engine.precision, run.recipe.sft.precision) == ("bfloat16", "float32")


def test_another_machine_goes_on_with_what_the_run_began_with(processor, tmp_path):
    """With the same recipe, with "auto" by name, and with no recipe; another format by name is another recipe."""
    recipe = tmp_path / "mine.toml"
    recipe.write_text("".join(f'[{section}]\nprecision = "auto"\n' for section in SECTIONS))
    processor(True)
    prepare(tmp_path / "run", str(recipe), FEW)
    before = (tmp_path / "run" / "recipe.toml").read_bytes()
    processor(False)
    for asked, overrides in ((str(recipe), FEW), (None, AUTO), (None, {})):
        assert formats(prepare(tmp_path / "run", asked, overrides)) == {"bfloat16"}
    assert (tmp_path / "run" / "recipe.toml").read_bytes() == before
    (tmp_path / "run" / "samples.jsonl").write_text("")
    vouch(tmp_path / "run")
    with pytest.raises(RunError, match=r"engine\.precision: 'bfloat16' there, 'float32' now"):
        prepare(tmp_path / "run", None, {"engine.precision": "float32"})


@pytest.mark.parametrize("was", ["float32", "bfloat16"])
def test_a_run_from_before_auto_goes_on(was, processor, tmp_path):
    """Its recipe names a format and its manifest none; the recipe that it came from has "auto" by now."""
    processor(True)
    prepare(tmp_path / "run", "quickstart", FEW | dict.fromkeys(AUTO, was))
    assert "precision" not in RunDirectory.open(tmp_path / "run").manifest()
    run = prepare(tmp_path / "run", "quickstart", FEW | AUTO)
    assert formats(run) == {was} and "precision" not in run.manifest()


def test_the_resolved_recipe_does_the_same_run_elsewhere(processor, tmp_path):
    processor(True)
    first = prepare(tmp_path / "first", "quickstart", FEW | AUTO)
    processor(False)
    again = prepare(tmp_path / "again", str(tmp_path / "first" / "recipe.toml"), {})
    assert again.recipe == first.recipe


def test_a_smoke_takes_what_the_machine_has(processor, tmp_path):
    for able, taken in ((True, "bfloat16"), (False, "float32")):
        processor(able)
        run, _ = prepare_smoke(str(tmp_path / taken), "mistral-7b-ours", {})
        assert formats(run) == {taken} and set(run.manifest()["precision"]) == set(SECTIONS)


def test_engines_elsewhere():
    """GPUs of a Ray cluster are not this machine's, and servers compute as they were started."""
    recipe = load_recipe("mistral-7b-ours", {"ray.address": "auto", "ray.gpus": "1"})
    settled, found = settle_precisions(recipe)
    assert (settled.engine.precision, settled.training.precision) == ("bfloat16", "float32")
    assert "Ray" in found["engine"].why
    assert list(precision_lines(settled, {}, {"sample"})) == [], "nothing is measured here"
    address = '["http://localhost:1/v1"]'
    recipe = load_recipe("mistral-7b-ours", {"engine.kind": "server", "engine.server.addresses": address})
    assert "servers" in choice_for(recipe, "engine").why


@pytest.mark.parametrize("name", packaged_recipes())
def test_packaged_recipes(name, monkeypatch):
    """Real models take what the device has, GPUs the paper's bfloat16; the quickstarts give the same results everywhere."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr("scdpo.run.precisions.training_device", lambda: "cuda")
    recipe = load_recipe(name)
    assert {getattr(recipe, section).precision for section in SECTIONS} == {"float32" if name in QUICK else "auto"}
    settled, _ = settle_precisions(recipe)
    assert {getattr(settled, section).precision for section in SECTIONS} == {"float32" if name in QUICK else "bfloat16"}


def test_lines_are_of_the_stages_that_are_due(processor, tmp_path, monkeypatch):
    """One line for all sections of one reason; one measurement for all sections of one device."""
    measured = []
    monkeypatch.setattr("scdpo.precision.layer_milliseconds", lambda device: (measured.append(device), (30.0, 1.0))[1])
    processor(True)
    run = prepare(tmp_path / "run", "quickstart", FEW | AUTO)
    stages = {"sft", "sample", "fork", "train", "evaluate", "report"}
    (line,) = precision_lines(run.recipe, run.manifest(), stages)
    assert line.startswith('precision "auto" of sft, rft, training, engine: bfloat16') and "(avx512_bf16)" in line
    (line,) = precision_lines(run.recipe, run.manifest(), {"train"})
    assert line.startswith('precision "auto" of rft, training: bfloat16')
    assert list(precision_lines(run.recipe, run.manifest(), {"report"})) == [] == measured
    processor(False)
    _, slow = precision_lines(run.recipe, run.manifest(), stages)
    assert slow.startswith('precision "bfloat16" of sft, rft, training, engine: the processor has no instructions')
    assert "float32 would be 30 times faster" in slow and measured == ["cpu"]


def test_plan_says_what_would_be_taken(processor, tmp_path, capsys):
    """On accelerators always bfloat16; on this machine what it has, in words and in the memory's figures."""
    found = {}
    for able, taken in ((True, "bfloat16"), (False, "float32")):
        processor(able)
        file = tmp_path / f"{taken}.json"
        assert main(["plan", "quickstart", *words_of(AUTO), "--json", str(file)]) == 0
        text = f'Precision "auto" of sft, rft, training, engine: bfloat16 on accelerators; {taken} on this machine'
        assert text in capsys.readouterr().out
        found[taken] = json.loads(file.read_text())
    assert {choice["taken"] for choice in found["float32"]["precision"].values()} == {"float32"}
    assert found["float32"]["accelerators"] == found["bfloat16"]["accelerators"]
    weights = {taken: plan["stages"]["sample"]["memory"]["weights"] for taken, plan in found.items()}
    assert weights["float32"] > 1.5 * weights["bfloat16"]
    assert main(["plan", "quickstart"]) == 0
    assert "Precision" not in capsys.readouterr().out


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AVX2 is x86's")
@pytest.mark.parametrize(
    ("asked", "taken", "says"),
    [
        ("auto", "float32", 'precision "auto" of sft: float32 from the beginning of the run on; '),
        ("bfloat16", "bfloat16", 'precision "bfloat16" of sft: '),
    ],
)
def test_a_processor_without_bfloat16(asked, taken, says, tmp_path, small_options):
    """torch held to AVX2 is such a processor, whatever this one is: left alone it takes float32, asked by name it runs."""
    words = [*small_options, *words_of(FEW | {"sft.precision": asked, "model.width": 32})]
    command = [sys.executable, "-m", "scdpo", "sft", str(tmp_path / "run"), *words]
    done = subprocess.run(command, env=os.environ | AVX2, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("precision"))
    assert line.startswith(says) and "instructions for bfloat16" in line
    assert ("ms in bfloat16" in line and "float32 would" in line) is (asked == "bfloat16")
    assert RunDirectory.open(tmp_path / "run").recipe.sft.precision == taken
    assert (tmp_path / "run" / "models" / "sft" / "model.safetensors").is_file()
