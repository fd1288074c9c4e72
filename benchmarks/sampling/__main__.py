"""`python -m benchmarks.sampling`: pairs a minute and tokens a second of our engine and of others, as tables and as JSON."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated, Any, get_args

from pydantic import Field, PositiveInt
from rich.console import Console
from rich.progress import Progress

from benchmarks.command import Figures, run
from benchmarks.sampling.bound import bound_seconds
from benchmarks.sampling.compare import Row, all_ratios, compare
from benchmarks.sampling.measure import Amount, Work, make_cases
from benchmarks.sampling.shown import as_json, device_name, print_table
from benchmarks.sampling.sides import OURS, Peer, Sides
from benchmarks.source import CONTEXT, ModelBench, known_precision, worked_problems
from scdpo.cli.options import Shown
from scdpo.precision import engine_device
from scdpo.problems.problem import Problem
from scdpo.problems.source import prompt_template
from scdpo.sampling.continuation import SamplingRules
from scdpo.solutions.codec import Codec
from scdpo.training.model_files import load_model, load_tokenizer


class SamplingBench(ModelBench):
    """Correct-and-wrong pairs a minute of the embedded engine, against transformers' own ways and the authors'.

    See docs/engines.md.
    """

    shots: int = Field(default=2, ge=0)
    """Worked examples before each question."""
    problems: int = Field(default=64, ge=2)
    """Problems, in two halves (one call a step: the first)."""
    forks: int = Field(default=3, ge=1)
    """Forks of each worked solution, the last ones."""
    samples: int = Field(default=4, ge=1)
    """The most samples of a problem."""
    attempts: int = Field(default=8, ge=1)
    """The most continuations from a fork."""
    max_new_tokens: int = Field(default=256, ge=1)
    """Of a solution."""
    rows: int = Field(default=64, ge=1)
    """Requests at once, of all but generate."""
    threads: int = Field(default=0, ge=0)
    """Processor threads; 0: the machine's."""
    batches: Annotated[tuple[PositiveInt, ...], Shown("N")] = Field(default=(16, 64), min_length=1)
    """Batches of generate to try."""
    work: tuple[Work, ...] = get_args(Work)
    """What is sampled."""
    peers: tuple[Peer, ...] = get_args(Peer)
    """Whom to compare with, as far as they are installed."""


def bench_sampling(bench: SamplingBench, console: Console) -> Figures:
    """Print the comparison. Raises BenchError, ModelError and ProblemError."""
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()
    bench = bench.model_copy(update={"precision": known_precision(bench.precision, engine_device(), console)})
    if bench.threads:
        torch.set_num_threads(bench.threads)
    tokenizer = load_tokenizer(bench.model)
    problems = worked_problems(bench.data, 20 * (bench.problems + bench.shots))
    examples = list(itertools.islice(problems, bench.shots))
    codec = Codec(tokenizer, shown_first(examples, prompt_template(bench.data)))
    rules = SamplingRules(codec, 0, bench.max_new_tokens, CONTEXT)
    cases = make_cases(problems, bench.problems, bench.forks, rules)
    capacity = bench.max_new_tokens + max(len(codec.prompt(case.problem.question)) for case in cases) + 1
    model = load_model(bench.model).to(engine_device(), getattr(torch, bench.precision)).eval()
    sides = Sides(model, tokenizer, codec, bench.precision, bench.rows, capacity, bench.peers)
    amount, device = Amount(bench.samples, bench.attempts), device_name()
    asked = f"{bench.model}, {bench.precision} on {device}, {bench.problems} problems of {bench.data}"
    found: dict[Work, list[Row]] = {}
    bounds: dict[Work, float] = {}
    for work in bench.work:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            shown = progress if console.is_terminal else None
            found[work] = compare(work, cases, sides, rules, amount, bench.batches, shown, console)
        ours = next(row.figures for row in found[work] if row.side == OURS)
        bounds[work] = bound_seconds(work, cases, ours, model, codec, bench.rows) / ours.seconds
        print_table(work, found[work], bounds[work], bench.rows, asked, console)
    ratios, by = all_ratios(found)
    console.print("\n" + "\n".join(f"{name}: {ratios[name]:.2f} ({by[name]})" for name in ratios))
    sampled: dict[str, Any] = {work: {row.side: as_json(row) for row in rows} for work, rows in found.items()}
    return {
        "ratio": ratios,
        "ratio_by": by,
        "share_of_bound": bounds,
        **sampled,
        "device": device,
        "settings": bench.settings,
        "versions": {name: version(name) for name in ("scdpo", "torch", "transformers")},
    }


def shown_first(examples: list[Problem], template: str) -> str:
    """The prompt template after worked examples in its own form."""
    return "".join(template.replace("{question}", e.question) + f"{e.solution}\n\n" for e in examples) + template


def main(words: Sequence[str] | None = None) -> int:
    return run("sampling", SamplingBench, bench_sampling, words)


if __name__ == "__main__":
    sys.exit(main())
