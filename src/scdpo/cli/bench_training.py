"""`scdpo bench training`: a training step on trees against TRL's, as a table and as JSON."""

from __future__ import annotations

import importlib.util
import itertools
import json
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scdpo.bench.training import Comparison, Setting, compare
from scdpo.bench.training_sides import Job
from scdpo.bench.trees import paper_rows
from scdpo.errors import BenchError
from scdpo.precision import Precision, choose, imitation_note, training_device
from scdpo.problems.problem import Problem
from scdpo.problems.source import GENERATORS, prompt_template, read_source
from scdpo.solutions.codec import Codec
from scdpo.training.model_files import load_tokenizer
from scdpo.training.settings import PreferenceSettings

CONTEXT = 2048


@dataclass(frozen=True, slots=True)
class TrainingBench:
    """What to measure: the model, the source of worked solutions, trees a step, step-controlled branches a tree, steps that
    count and steps before them, our tokens a micro-batch, TRL's pairs at once to try (none: 1, 2, half a step's and all of
    them), precision, activation checkpointing, threads of each side (0: the machine's)."""

    model: str
    data: str
    trees: int
    branches: int
    steps: int
    warm_up: int
    tokens: int
    trl_batches: list[int] | None
    precision: Precision
    activation_checkpointing: bool
    threads: int

    def __post_init__(self) -> None:
        low = [name for name in ("trees", "branches", "steps", "warm_up", "tokens") if getattr(self, name) < 1]
        if low or min(self.trl_batches or [1]) < 1 or self.threads < 0:
            raise BenchError(f"--{(low or ['trl-batches and --threads'])[0].replace('_', '-')} must be at least 1")


def bench_training(bench: TrainingBench, out: str | None, console: Console) -> None:
    """Print the comparison and write it to the file `out`.

    Raises BenchError where TRL or the file's folder is missing, ModelError for a model whose package is missing.
    """
    if importlib.util.find_spec("trl") is None:
        raise BenchError("this bench needs TRL; install it with pip install trl")
    if out and not Path(out).expanduser().parent.is_dir():
        raise BenchError(f"{out}: no such folder to write the figures to; make it first")
    bench = replace(bench, precision=known_precision(bench.precision, training_device(), console))
    codec = Codec(load_tokenizer(bench.model), prompt_template(bench.data))
    rows = paper_rows(worked_problems(bench), codec, bench.trees * (bench.warm_up + bench.steps), bench.branches, CONTEXT)
    settings = PreferenceSettings(
        lr=1e-5,
        warmup=0,
        schedule="constant",
        layout="tree",
        tokens_per_micro_batch=bench.tokens,
        precision=bench.precision,
        activation_checkpointing=bench.activation_checkpointing,
        threads=bench.threads,
    )
    pairs = bench.trees * (1 + bench.branches)
    forwards = bench.trl_batches or [1, 2, pairs // 2, pairs]
    if not any(pairs % forward == 0 for forward in forwards):
        raise BenchError(f"--trl-batches: none divides the {pairs} pairs of a step")
    with console.status("starting") as status:
        report = status.update if console.is_terminal else console.print
        comparison = compare(Job(bench.model, tuple(rows), bench.trees, settings), bench.warm_up, forwards, report)
    print_comparison(comparison, bench, console)
    if out:
        figures = as_json(comparison, bench)
        Path(out).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        console.print(f"figures: {out}")


def known_precision(precision: Precision, device: str, console: Console) -> Precision:
    """The number format that a bench measures in; says what "auto" came to, and what bfloat16 costs where it is imitated."""
    if precision == "auto":
        choice = choose(device)
        console.print(f'precision "auto": {choice.taken}; {choice.why}', markup=False)
        return choice.taken
    if precision == "bfloat16" and (note := imitation_note(device)):
        console.print(f'precision "bfloat16": {note}', markup=False)
    return precision


def worked_problems(bench: TrainingBench) -> list[Problem]:
    """Problems with worked solutions; of a generator as many as could be needed, with some to spare."""
    if bench.data not in GENERATORS:
        return read_source(bench.data)[0]
    count = 2 * bench.trees * (bench.warm_up + bench.steps) * (2 + bench.branches)
    return [problem for _, problem in itertools.islice(GENERATORS[bench.data](0), count)]


def print_comparison(comparison: Comparison, bench: TrainingBench, console: Console) -> None:
    tokens = comparison.tokens
    console.print(
        f"{bench.model}, {bench.precision}, {comparison.pairs} pairs a step ({bench.trees} trees from {bench.data})\n"
        f"tokens a step: {tokens.trees:,.0f} as trees, {tokens.pairs:,.0f} as pairs ({tokens.pairs / tokens.trees:.2f} times); "
        f"{tokens.counted:,.0f} need logits\n"
    )
    table = Table(box=None, pad_edge=False)
    for column in (
        "",
        "pairs at once",
        "steps",
        "s a step",
        "pairs a second",
        "peak GB" + " over start" * (training_device() != "cuda"),
    ):
        table.add_column(column, justify="left" if not column else "right")
    for setting in comparison.tried:
        add_row(table, "TRL, tried", setting, comparison.pairs)
    add_row(table, "TRL, fastest", comparison.trl, comparison.pairs)
    add_row(table, "scdpo", comparison.ours, comparison.pairs)
    console.print(table)
    for setting in comparison.tried:
        if setting.note:
            console.print(f"TRL, {at_once(setting)}: {setting.note}")
    ratios = comparison.speed_ratios
    console.print(
        f"\nscdpo over TRL's fastest setting: {comparison.speed_ratio:.2f} times the pairs a second "
        f"(steps: {min(ratios):.2f} to {max(ratios):.2f}), {comparison.memory_ratio:.2f} of the peak memory"
    )
    for setting in comparison.tried:
        if setting.steps and setting.pairs_a_forward != comparison.trl.pairs_a_forward:
            speed, memory = setting.seconds / comparison.ours.seconds, comparison.ours.peak / setting.peak
            console.print(f"over TRL with {at_once(setting)}: {speed:.2f} times, {memory:.2f}")
    losses = ", ".join(
        f"{own.loss:.6f} | {theirs.loss:.6f}" for own, theirs in zip(comparison.ours.steps, comparison.trl.steps, strict=True)
    )
    console.print(f"losses (scdpo | TRL): {losses}; largest relative difference {comparison.loss_difference:.1e}")


def add_row(table: Table, name: str, setting: Setting, pairs: int) -> None:
    if setting.steps:
        figures = f"{setting.seconds:.1f}", f"{pairs / setting.seconds:.2f}", f"{setting.peak:.2f}"
        table.add_row(name, str(setting.pairs_a_forward or ""), str(len(setting.steps)), *figures)


def at_once(setting: Setting) -> str:
    return f"{setting.pairs_a_forward} {'pair' if setting.pairs_a_forward == 1 else 'pairs'} at once"


def as_json(comparison: Comparison, bench: TrainingBench) -> dict[str, Any]:
    """The comparison with what it was measured with. `ratio` is over TRL's fastest setting, `tried` holds them all."""

    def figures(setting: Setting) -> dict[str, Any]:
        if setting.note:
            return {"pairs_at_once": setting.pairs_a_forward, "note": setting.note}
        return {
            "seconds_per_step": setting.seconds,
            "pairs_per_second": comparison.pairs / setting.seconds,
            "peak_memory_gb": setting.peak,
            "losses": [step.loss for step in setting.steps],
            "seconds": [step.seconds for step in setting.steps],
        } | ({"pairs_at_once": setting.pairs_a_forward} if setting.pairs_a_forward else {})

    return {
        "ratio": {"pairs_per_second": comparison.speed_ratio, "peak_memory": comparison.memory_ratio},
        "ratio_by_step": comparison.speed_ratios,
        "max_loss_difference": comparison.loss_difference,
        "scdpo": figures(comparison.ours),
        "trl": figures(comparison.trl),
        "tried": [
            figures(setting)
            | (
                {
                    "ratio": {
                        "pairs_per_second": setting.seconds / comparison.ours.seconds,
                        "peak_memory": comparison.ours.peak / setting.peak,
                    }
                }
                if setting.steps
                else {}
            )
            for setting in comparison.tried
        ],
        "tokens_per_step": asdict(comparison.tokens),
        "pairs_per_step": comparison.pairs,
        "settings": {field.name: getattr(bench, field.name) for field in fields(bench)},
        "versions": {name: version(name) for name in ("scdpo", "torch", "transformers", "trl")},
    }
