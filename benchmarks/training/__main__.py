"""`python -m benchmarks.training`: a training step on trees against TRL's, as a table and as JSON."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Literal

from pydantic import Field, PositiveInt
from rich.console import Console

from benchmarks.command import Figures, run
from benchmarks.errors import BenchError
from benchmarks.source import CONTEXT, ModelBench, known_precision, worked_problems
from benchmarks.training.compare import compare
from benchmarks.training.shown import as_json, print_comparison
from benchmarks.training.sides import Job
from benchmarks.training.trees import paper_rows
from scdpo.cli.options import Shown
from scdpo.precision import training_device
from scdpo.problems.source import prompt_template
from scdpo.solutions.codec import Codec
from scdpo.training.model_files import load_tokenizer
from scdpo.training.settings import PreferenceSettings


class TrainingBench(ModelBench):
    """Seconds and memory of a training step on solution trees, against TRL's DPOTrainer on the same pairs.

    See docs/training.md.
    """

    against: Literal["trl"] = "trl"
    """The peer."""
    trees: int = Field(default=4, ge=1)
    """Questions an optimizer step."""
    branches: int = Field(default=2, ge=1)
    """Step-controlled pairs a question."""
    steps: int = Field(default=3, ge=1)
    """Steps that count."""
    warm_up: int = Field(default=2, ge=1)
    """Steps before them."""
    tokens: int = Field(default=512, ge=1)
    """Our tokens a micro-batch."""
    trl_batches: Annotated[tuple[PositiveInt, ...], Shown("N")] = ()
    """TRL's pairs at once to try (default: 1, 2, half and all of a step's)."""
    activation_checkpointing: bool = False
    """Of both: less memory, more time."""
    threads: int = Field(default=0, ge=0)
    """Of each side; 0: the machine's."""


def bench_training(bench: TrainingBench, console: Console) -> Figures:
    """Print the comparison. Raises BenchError without TRL, ModelError for a model whose package is missing."""
    if importlib.util.find_spec("trl") is None:
        raise BenchError("this benchmark needs TRL; install it with pip install trl")
    precision = known_precision(bench.precision, training_device(), console)
    bench = bench.model_copy(update={"precision": precision})
    count = bench.trees * (bench.warm_up + bench.steps)
    codec = Codec(load_tokenizer(bench.model), prompt_template(bench.data))
    problems = list(worked_problems(bench.data, 2 * count * (2 + bench.branches)))  # some to spare
    rows = paper_rows(problems, codec, count, bench.branches, CONTEXT)
    settings = PreferenceSettings(
        lr=1e-5,
        warmup=0,
        schedule="constant",
        layout="tree",
        tokens_per_micro_batch=bench.tokens,
        precision=precision,
        activation_checkpointing=bench.activation_checkpointing,
        threads=bench.threads,
    )
    pairs = bench.trees * (1 + bench.branches)
    forwards = bench.trl_batches or (1, 2, pairs // 2, pairs)
    if not any(pairs % forward == 0 for forward in forwards):
        raise BenchError(f"--trl-batches: none divides the {pairs} pairs of a step")
    with console.status("starting") as status:
        report = status.update if console.is_terminal else console.print
        comparison = compare(Job(bench.model, tuple(rows), bench.trees, settings), bench.warm_up, forwards, report)
    console.print(f"{bench.model}, {precision}, {comparison.pairs} pairs a step ({bench.trees} trees from {bench.data})")
    print_comparison(comparison, console)
    versions = {name: version(name) for name in ("scdpo", "torch", "transformers", "trl")}
    return as_json(comparison) | {"settings": bench.settings, "versions": versions}


def main(words: Sequence[str] | None = None) -> int:
    return run("training", TrainingBench, bench_training, words)


if __name__ == "__main__":
    sys.exit(main())
