"""How the cost of sampling and forking grows: real runs of the two stages over one SFT model, each a process that is watched.

Problems, forks a solution, and workers are varied one at a time.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.errors import BenchError
from scdpo.run.directory import RunDirectory
from scdpo.run.prepare import prepare

SECONDS_BETWEEN_LOOKS = 0.25


@dataclass(frozen=True, slots=True)
class Setting:
    """What is run: problems, forks of each solution, worker processes."""

    problems: int
    forks: int = 1
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """What it took: seconds of both stages, start included, and the most memory of all its processes together, in MB (of
    each process what is its own alone); and what it made."""

    setting: Setting
    seconds: float
    memory: float
    samples: int
    continuations: int
    pairs: int


def settings_of(problems: int, workers: int) -> dict[str, list[Setting]]:
    """The three series: problems 1, 3 and 10 times; forks of a solution; workers 1 to `workers`."""
    return {
        "problems": [Setting(problems), Setting(3 * problems), Setting(10 * problems)],
        "forks": [Setting(problems, forks) for forks in (1, 2, 4)],
        "workers": [Setting(3 * problems, 1, count) for count in range(1, workers + 1)],
    }


def cost(run: RunDirectory, setting: Setting, block: int, folder: Path) -> Cost:
    """Sample and fork `setting.problems` problems of the run's source with its SFT model, in a new run in `folder`.

    Raises BenchError where a stage fails.
    """
    overrides = {
        "model.path": str(run.path.resolve() / "models" / "sft"),
        "problems.sft": "0",
        "problems.pairs": str(setting.problems),
        "problems.dev": "0",
        "problems.test": "1",
        "evaluation.split": "test",
        "run.rounds": "1",
        "sampling.block": str(block),
        "fork.forks_per_solution": str(setting.forks),
    }
    prepare(folder, str(run.path / "recipe.toml"), overrides)
    watched("sft", folder, 1)
    stages = [watched(stage, folder, setting.workers) for stage in ("sample", "fork")]
    made = RunDirectory.open(folder).round(1)
    trees = [record for record in made.trees if record["tree"]]
    return Cost(
        setting,
        sum(seconds for seconds, _ in stages),
        max(memory for _, memory in stages),
        sum(len(record["samples"]) for record in made.samples),
        sum(attempt["attempts"] for record in made.trees for attempt in record["tries"]),
        sum(len(record["tree"]["branches"]) for record in trees),
    )


def watched(stage: str, folder: Path, workers: int) -> tuple[float, float]:
    """(seconds, most megabytes) of a stage, run as a command."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "scdpo", stage, str(folder), "--workers", str(workers)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    most = 0.0
    while process.poll() is None:
        most = max(most, own_memory(process.pid))
        time.sleep(SECONDS_BETWEEN_LOOKS)
    said = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise BenchError(f"scdpo {stage} failed: {said.strip().splitlines()[-1] if said.strip() else 'no message'}")
    return time.perf_counter() - began, most


def own_memory(pid: int) -> float:
    """Megabytes that a process and its children have to themselves; 0 where they are gone."""
    total = 0
    try:
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            total += process.memory_full_info().uss
    except psutil.Error:
        return 0.0
    return total / 1e6


def measure(
    run: RunDirectory, series: dict[str, list[Setting]], block: int, folder: Path, report: Callable[[Cost], None]
) -> dict[str, list[Cost]]:
    """The costs of all settings, each of them once."""
    found: dict[Setting, Cost] = {}
    for settings in series.values():
        for setting in settings:
            if setting not in found:
                found[setting] = cost(run, setting, block, folder / str(len(found)))
                report(found[setting])
    return {name: [found[setting] for setting in settings] for name, settings in series.items()}
