"""Several processes on one training, over gloo: the updates of one, through the command that users type."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from safetensors import safe_open

from scdpo.cli.main import main
from scdpo.run.prepare import prepare
from scdpo.sampling.arms import ARMS
from tests.run.conftest import vouch
from tests.training.conftest import same, weights

SETTINGS = resources.files("scdpo.run") / "recipes" / "accelerate"


def launched(
    *words: str,
    settings: str = "cpu.yaml",
    module: str = "scdpo",
    variables: dict[str, str] | None = None,
    processes: int = 2,
) -> subprocess.CompletedProcess:
    """`accelerate launch` of two processes, or as many as asked for, with shipped settings."""
    launcher = ["-m", "accelerate.commands.launch", "--config_file", str(SETTINGS / settings)]
    launcher += ["--num_processes", str(processes)]
    return subprocess.run(
        [sys.executable, *launcher, "--main_process_port", "0", "-m", module, *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | (variables or {}),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def ready(finished, small_options, tmp_path):
    """Gives runs that have their SFT model and trees and no other model yet."""

    def make(name: str, **fields):
        words = dict(zip(small_options[::2], small_options[1::2], strict=True))
        overrides = {word.removeprefix("--"): value for word, value in words.items()} | fields
        run = prepare(tmp_path / name, None, overrides)
        for record in ("samples.jsonl", "trees.jsonl"):
            shutil.copy(finished / record, run.path)
        shutil.copytree(finished / "models" / "sft", run.round(1).model("sft"))
        vouch(run.path)
        return run

    return make


def cached(run) -> list[str]:
    """The pairs in the run's reference cache, a line each."""
    (file,) = run.reference_cache.iterdir()
    return sorted(json.loads(line)["pair"] for line in file.read_text().splitlines())


SHORT = {"training.epochs": "1", "rft.epochs": "1", "training.threads": "1", "training.lr": "1e-4"}
CUT = {"training.tokens_per_micro_batch": "150"}
"""Steps of one micro-batch, which leaves a process without work, and of several."""
FULL = SHORT | CUT | {"training.optimizer": "adamw"}
LORA = FULL | {"training.lora.rank": "4", "training.layout": "pairs"}
SLOW_LORA = pytest.param(LORA, marks=pytest.mark.slow)
"""Sharded adapters in two processes: in the default tests one process has them."""


def saved_names(folder) -> set[str]:
    """The weights in a model's or an adapter's file."""
    (file,) = folder.glob("*.safetensors")
    with safe_open(str(file), framework="pt") as held:
        return set(held.keys())


def assert_same_trainings(one, two):
    """Two runs' trainings: the same weights up to what rounding makes of the updates, the same logs."""
    assert cached(one) == cached(two), "each pair's reference log-probs once, whoever computed them"
    before = weights(one.round(1).model("sft"))
    for arm in one.round(1).arms:
        first, second = weights(one.round(1).model(arm)), weights(two.round(1).model(arm))
        assert saved_names(one.round(1).model(arm)) == saved_names(two.round(1).model(arm))
        moved = max((first[name] - before[name]).abs().max().item() for name in first)
        assert same(first, second, tolerance=0.02 * moved), arm
        logs = [[json.loads(line) for line in run.round(1).log(arm).read_text().splitlines()] for run in (one, two)]
        assert [entry.keys() - {"note"} for entry in logs[0]] == [entry.keys() - {"note"} for entry in logs[1]]
        for entry, other in zip(*logs, strict=True):
            assert entry.get("loss") == pytest.approx(other.get("loss"), abs=2e-3)
        norms = [log[0]["grad_norm"] for log in logs]
        assert norms[0] == pytest.approx(norms[1], rel=1e-3), "of the first step, which no optimizer has changed yet"


@pytest.mark.parametrize("fields", [FULL, LORA], ids=["all weights", "adapters, pairs"])
def test_two_processes_give_the_updates_of_one(fields, ready):
    """All four trainings."""
    one, two = ready("one", **fields), ready("two", **fields)
    assert main(["train", str(one.path), "--workers", "1"]) == 0
    done = launched("train", str(two.path))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("run directory") == 1, "one process speaks"
    assert_same_trainings(one, two)
    for stage in ("evaluate", "report"):
        assert main([stage, str(two.path), "--workers", "1"]) == 0
    assert set(json.loads((two.path / "results.json").read_text())["models"]) == {"sft", *ARMS}


@pytest.mark.parametrize("fields", [FULL, SLOW_LORA], ids=["all weights", "adapters, pairs"])
def test_sharded_processes_give_the_updates_of_one(fields, ready):
    """FSDP with the shipped settings: loading, reference log-probs, training and saving, no process with a whole model,
    and one that reads weights. Logits in chunks, as real vocabularies have them."""
    fields = fields | {"training.logits_per_chunk": "16"}
    one, two = ready("one", **fields), ready("two", **fields)
    assert main(["train", str(one.path), "--workers", "1"]) == 0
    done = launched("train", str(two.path), settings="fsdp.yaml", module="tests.run.pretended_gpus")
    assert done.returncode == 0, done.stderr[-2000:]
    shares = re.findall(r"weights here: ([0-9.]+)", done.stdout)
    assert len(shares) >= 2 * len(ARMS) and set(shares) == {"0.50"}
    assert done.stdout.count("weights read") == len(shares) / 2
    assert_same_trainings(one, two)


@pytest.mark.parametrize("fields", [FULL, LORA], ids=["all weights", "adapters, pairs"])
def test_one_launched_process_gives_the_updates_of_a_plain_one(fields, ready):
    """FSDP with the shipped settings on one GPU: sharded over itself."""
    fields = fields | {"run.arms": '["scdpo"]'}
    one, two = ready("one", **fields), ready("two", **fields)
    assert main(["train", str(one.path), "--workers", "1"]) == 0
    done = launched("train", str(two.path), settings="fsdp.yaml", module="tests.run.pretended_gpus", processes=1)
    assert done.returncode == 0, done.stderr[-2000:]
    shares = re.findall(r"weights here: ([0-9.]+)", done.stdout)
    assert shares and set(shares) == {"1.00"}
    assert_same_trainings(one, two)


def test_a_sharded_pass_that_fails_leaves_the_model_to_the_next(ready):
    """A model that fails on a tree in the midst of its layers, some weights of them gathered, is then trained on pairs."""
    fields = FULL | {"run.arms": '["scdpo"]'}
    one, two = ready("one", **fields | {"training.layout": "pairs"}), ready("two", **fields)
    assert main(["train", str(one.path), "--workers", "1"]) == 0
    module, variables = "tests.run.pretended_gpus", {"STUMBLES": "1"}
    done = launched("train", str(two.path), settings="fsdp.yaml", module=module, variables=variables)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "RuntimeError: branches are not for this model" in done.stdout
    assert_same_trainings(one, two)


def test_sharding_without_a_gpu_is_refused(ready):
    done = launched("train", str(ready("run", **FULL).path), settings="fsdp.yaml", processes=1)
    assert done.returncode != 0
    assert "launch with cpu.yaml" in done.stderr and "AttributeError" not in done.stderr


def test_a_given_model_is_saved_once(finished, small_options, tmp_path):
    words = [*small_options, "--model.path", str(finished / "models" / "sft"), "--problems.sft", "0"]
    done = launched("sft", str(tmp_path / "given"), *words)
    assert done.returncode == 0, done.stderr[-2000:]
    assert same(weights(tmp_path / "given" / "models" / "sft"), weights(finished / "models" / "sft"))


def test_only_the_trainings_are_for_several_processes(finished):
    done = launched("sample", str(finished))
    assert done.returncode != 0
    assert "accelerate launch is for: sft, train" in done.stderr
