"""The benchmark for GPUs runs whole on a processor, in small: every section measures, and a cut run keeps what it has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FEWER = ['run.arms=["scdpo"]', "credit.problems=0", "temperature.problems=0"]
SECTIONS = ["right", "training", "output_layer", "sampling", "run", "plan"]


def bench(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
    )


def fields(small_options: list[str]) -> list[str]:
    names, values = small_options[::2], small_options[1::2]
    return [f"{name.removeprefix('--')}={value}" for name, value in zip(names, values, strict=True)]


def record(folder: Path) -> dict:
    (file,) = folder.glob("gpu-cpu-*.json")
    return json.loads(file.read_text())


@pytest.mark.slow
def test_whole_in_small(small_options, tmp_path):
    done = bench("--device", "cpu", "--minutes", "8", "--out", str(tmp_path), "--run", *fields(small_options), *FEWER)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    found = record(tmp_path)
    assert list(found["sections"]) == SECTIONS
    assert all(section["ended"] == "whole" and section["measured"] for section in found["sections"].values())
    measured = {name: {each["what"]: each for each in section["measured"]} for name, section in found["sections"].items()}
    assert all(each.get("right", True) for each in measured["right"].values())
    assert measured["right"]["tests"]["exit"] == 0
    training = {what.partition("; ")[2]: each for what, each in measured["training"].items()}
    assert {"scdpo, packed", "scdpo, tree", "TRL, 2 at once"} < set(training)
    against = training["scdpo, tree against TRL, 2 at once"]
    assert against["losses_apart"] < 1e-4 and against["pairs_a_second"] > 0 and against["peak_memory"] > 0
    assert training["scdpo, packed"]["losses"] == pytest.approx(training["scdpo, tree"]["losses"], rel=1e-5)
    sampled = [measured["sampling"][name]["tokens"] for name in ("scdpo", "generate", "continuous batching")]
    assert len(set(sampled)) == 1, "all sides generated as many tokens"
    continued = measured["run"]["killed and continued"]
    assert continued["killed_in_time"] == [True, True]
    assert all(continued["same_records"].values()) and set(continued["weights_apart"].values()) == {0.0}
    assert "planned_gb" in measured["plan"]["tiny, all weights; scdpo, packed"]
    assert f"the record: {tmp_path}" in done.stdout


def test_a_section_out_of_time_is_stopped_and_the_next_one_runs(tmp_path):
    """The record says so, and is whole."""
    done = bench("--device", "cpu", "--minutes", "0", "--sections", "right", "plan", "--out", str(tmp_path))
    found = record(tmp_path)["sections"]
    assert done.returncode == 1
    assert found["right"]["ended"] == "stopped at the end of its time"
    assert list(found) == ["right", "plan"] and found["plan"]["ended"]


def test_without_a_gpu_it_says_what_to_do(tmp_path):
    done = bench("--out", str(tmp_path))
    assert done.returncode == 2
    assert "--device cpu" in done.stderr
    assert not list(tmp_path.iterdir())
