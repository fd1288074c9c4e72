"""A whole run on the device: the quickstart to its end, the same killed and continued, and its trainings as FSDP2 shards them
with one process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import resources
from pathlib import Path

import torch

from benchmarks.gpu.bench import Bench

KILLED_AFTER = "samples.jsonl"
"""The run is killed once this record has a line, and again in its last training."""
LOOK = 0.05
"""Seconds between two looks at a run that is to be killed."""


def measure(bench: Bench) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole, killed, sharded = (Path(folder) / name for name in ("whole", "killed", "sharded"))
        fields = [word for name, value in bench.run_fields.items() for word in (f"--{name}", value)]
        words = ["run", "quickstart", "--workers", "1", *fields]
        try:
            seconds = scdpo(bench, [*words, "--out", str(whole)])
            bench.add(
                "quickstart", {"seconds": seconds, "accuracies": accuracies(whole)}, f"{seconds:.0f} s; {accuracies(whole)}"
            )
            is_sharded = shard(bench, whole, sharded)
            go_on(bench, [*words, "--out", str(killed)], whole, killed)
        except subprocess.TimeoutExpired as error:
            bench.add("out of time", {"command": error.cmd}, f"out of time in {' '.join(error.cmd[:4])} ...")
            sys.exit(1)
        if not is_sharded:
            sys.exit("the trainings by fsdp.yaml failed")


def go_on(bench: Bench, words: list[str], whole: Path, killed: Path) -> None:
    """Kill a run twice and let it end; what is then other than in one that was never killed."""
    kills = [kill(bench, words, killed / name) for name in (KILLED_AFTER, "models/scdpo.checkpoints")]
    seconds = scdpo(bench, words)
    same = {name: (whole / name).read_bytes() == (killed / name).read_bytes() for name in ("samples.jsonl", "trees.jsonl")}
    apart = {arm: distance(whole, killed, arm) for arm in ("sft", "scdpo")}
    facts = {"killed_in_time": kills, "same_records": same, "weights_apart": apart, "seconds": seconds}
    shown = f"records {'the same' if all(same.values()) else 'DIFFER'}; weights {max(apart.values()):.1e} apart, of what moved"
    bench.add("killed and continued", facts, shown)


def scdpo(bench: Bench, words: list[str], launcher: tuple[str, ...] = ()) -> float:
    """Run a command to its end; its seconds. Raises CalledProcessError, with what it said printed, where it fails."""
    began = time.time()
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "scdpo", *words],
        capture_output=True,
        text=True,
        timeout=max(1.0, bench.left),
    )
    if done.returncode:
        print((done.stdout + done.stderr)[-3000:], file=sys.stderr)
    done.check_returncode()
    return time.time() - began


def kill(bench: Bench, words: list[str], sign: Path) -> bool:
    """Start a command and kill it with -9 once `sign` is there; whether it still ran then."""
    process = subprocess.Popen([sys.executable, "-m", "scdpo", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and bench.left > 0 and not (sign.exists() and (sign.is_dir() or sign.stat().st_size)):
        time.sleep(LOOK)
    was_alive = process.poll() is None
    process.kill()
    process.wait()
    return was_alive


def shard(bench: Bench, whole: Path, copy: Path) -> bool:
    """A copy of the run trains anew, launched by the shipped settings for FSDP2 with one process; False where that fails."""
    if bench.device != "cuda":
        bench.add("FSDP2, one process", {"note": "needs a GPU"}, "left out: accelerate shards on GPUs only")
        return True
    shutil.copytree(whole, copy)
    for model in (copy / "models").iterdir():
        if model.name != "sft":
            shutil.rmtree(model)
    settings = resources.files("scdpo.run") / "recipes" / "accelerate" / "fsdp.yaml"
    launcher = ("-m", "accelerate.commands.launch", "--config_file", str(settings), "--num_processes", "1")
    try:
        seconds = scdpo(bench, ["train", str(copy)], (*launcher, "--main_process_port", "0"))
    except subprocess.CalledProcessError as error:
        bench.add("FSDP2, one process", {"exit": error.returncode}, f"FAILED with exit code {error.returncode}")
        return False
    apart = {arm: distance(whole, copy, arm) for arm in ("rft", "scdpo") if (copy / "models" / arm).is_dir()}
    shown = f"trained in {seconds:.0f} s; weights {max(apart.values()):.1e} apart, of what moved"
    bench.add("FSDP2, one process", {"seconds": seconds, "weights_apart": apart}, shown)
    return True


def accuracies(run: Path) -> str:
    models = json.loads((run / "results.json").read_text(encoding="utf-8"))["models"]
    return ", ".join(f"{name} {model['accuracy']:.1%}" for name, model in models.items())


def distance(one: Path, other: Path, arm: str) -> float:
    """The largest difference between two runs' weights of a model, as a share of the most that training moved one (of the
    largest weight, for sft)."""
    from safetensors.torch import load_file

    first, second = (load_file(run / "models" / arm / "model.safetensors") for run in (one, other))
    before = load_file(one / "models" / "sft" / "model.safetensors") if arm != "sft" else {}
    apart = max((first[name] - second[name]).abs().max().item() for name in first)
    moved = max((value - before.get(name, torch.zeros_like(value))).abs().max().item() for name, value in first.items())
    return apart / moved
