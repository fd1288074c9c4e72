"""`scdpo bench sampling`: pairs a minute and tokens a second of our engine and of others, as tables and as JSON."""

from __future__ import annotations

import importlib.util
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from scdpo.bench.sampling import Amount, Case, Figures, Work, make_cases, measure
from scdpo.bench.sampling_bound import bound_seconds
from scdpo.cli.bench_training import CONTEXT, known_precision
from scdpo.engines.interface import Engine
from scdpo.engines.pieces import Landmarks
from scdpo.errors import BenchError
from scdpo.precision import Precision, engine_device
from scdpo.problems.problem import Problem
from scdpo.problems.source import GENERATORS, prompt_template, read_source
from scdpo.sampling.continuation import SamplingRules
from scdpo.solutions.codec import Codec
from scdpo.training.model_files import load_model, load_tokenizer, save_model

OURS, GENERATE, CALL_PER_STEP, CONTINUOUS, VLLM = "scdpo", "generate", "call_per_step", "continuous", "vllm"
NAMES = {
    OURS: "scdpo",
    GENERATE: "transformers generate",
    CALL_PER_STEP: "one call a step",
    CONTINUOUS: "transformers continuous batching",
    VLLM: "vLLM in process",
}


ENOUGH = 30
"""Pairs of a side from which on they are compared; fewer are mostly chance."""


@dataclass(frozen=True, slots=True)
class SamplingBench:
    """What to measure: the model and the source of worked solutions, worked examples before each question, problems (in two
    halves: sides take turns) and forks of each, the most samples of a problem and continuations of a fork, new tokens of a
    solution, requests at once (ours), `generate`'s batches to try, the work, the peers, precision, threads."""

    model: str
    data: str
    shots: int
    problems: int
    forks: int
    samples: int
    attempts: int
    max_new_tokens: int
    rows: int
    batches: list[int]
    work: list[Work]
    peers: list[str]
    precision: Precision
    threads: int

    def __post_init__(self) -> None:
        low = [name for name in ("forks", "samples", "attempts", "max_new_tokens", "rows") if getattr(self, name) < 1]
        if low or min(self.batches) < 1 or self.problems < 2 or self.shots < 0:
            raise BenchError(f"--{(low or ['problems, --batches and --shots'])[0].replace('_', '-')}: too small")


@dataclass(frozen=True, slots=True)
class Row:
    """A side's figures on one kind of work. batch: of `generate`, the fastest that was tried."""

    side: str
    figures: Figures
    batch: int = 0


def bench_sampling(bench: SamplingBench, out: str | None, console: Console) -> None:
    """Print the comparison and write it to the file `out`. Raises BenchError, ModelError and ProblemError."""
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()
    if out and not Path(out).expanduser().parent.is_dir():
        raise BenchError(f"{out}: no such folder to write the figures to; make it first")
    bench = replace(bench, precision=known_precision(bench.precision, engine_device(), console))
    if bench.threads:
        torch.set_num_threads(bench.threads)
    tokenizer = load_tokenizer(bench.model)
    examples, problems = worked(bench)
    codec = Codec(tokenizer, shown_first(examples, prompt_template(bench.data)))
    rules = SamplingRules(codec, 0, bench.max_new_tokens, CONTEXT)
    cases = make_cases(problems, bench.problems, bench.forks, rules)
    capacity = bench.max_new_tokens + max(len(codec.prompt(case.problem.question)) for case in cases) + 1
    model = load_model(bench.model).to(engine_device(), getattr(torch, bench.precision)).eval()
    device = device_name()
    found: dict[Work, list[Row]] = {}
    bounds: dict[Work, float] = {}
    for work in bench.work:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            sides = Sides(bench, model, tokenizer, codec, capacity)
            found[work] = compare(work, cases, sides, rules, progress if console.is_terminal else None, console)
        ours = next(row.figures for row in found[work] if row.side == OURS)
        bounds[work] = bound_seconds(work, cases, ours, model, codec, bench.rows) / ours.seconds
        print_table(work, found[work], bounds[work], bench, device, console)
    ratios, by = all_ratios(found)
    console.print("\n" + "\n".join(f"{name}: {ratios[name]:.2f} ({by[name]})" for name in ratios))
    if out:
        figures: dict[str, Any] = {
            "ratio": ratios,
            "ratio_by": by,
            "share_of_bound": bounds,
            **{work: {row.side: as_json(row) for row in rows} for work, rows in found.items()},
            "device": device,
            "settings": {field.name: getattr(bench, field.name) for field in fields(bench)},
            "versions": {name: version(name) for name in ("scdpo", "torch", "transformers")},
        }
        Path(out).expanduser().write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        console.print(f"figures: {out}")


def worked(bench: SamplingBench) -> tuple[list[Problem], Iterator[Problem]]:
    """(the examples, the problems) of the source."""
    if bench.data in GENERATORS:
        problems: Iterator[Problem] = (problem for _, problem in GENERATORS[bench.data](0))
        problems = itertools.islice(problems, 20 * (bench.problems + bench.shots))
    else:
        problems = iter(read_source(bench.data)[0])
    return list(itertools.islice(problems, bench.shots)), problems


def shown_first(examples: list[Problem], template: str) -> str:
    """The prompt template behind worked examples in its own form."""
    return "".join(template.replace("{question}", e.question) + f"{e.solution}\n\n" for e in examples) + template


class Sides:
    """Opens the engines to compare."""

    def __init__(self, bench: SamplingBench, model: Any, tokenizer: Any, codec: Codec, capacity: int) -> None:
        self.bench, self.model, self.tokenizer, self.codec, self.capacity = bench, model, tokenizer, codec, capacity
        self.ends = codec.end_ids

    def peers(self, work: Work) -> list[str]:
        """The peers that can do the work and are there; vLLM last, because it binds the process to its cores."""
        wanted = [peer for peer in (GENERATE, CALL_PER_STEP, CONTINUOUS, VLLM) if peer in self.bench.peers]
        return [
            peer
            for peer in wanted
            if (peer != CALL_PER_STEP or work == "fork") and (peer != VLLM or importlib.util.find_spec("vllm"))
        ]

    @contextmanager
    def open(self, side: str, batch: int = 0) -> Iterator[Engine]:
        from scdpo.bench.sampling_peers import BatchedGenerate, ContinuousBatching
        from scdpo.engines.transformers_engine import TransformersEngine

        rows, step_ends = self.bench.rows, self.codec.step_end_ids
        if side == OURS:
            yield TransformersEngine(self.model, self.ends, step_ends, rows, self.capacity)
        elif side in (GENERATE, CALL_PER_STEP):
            yield BatchedGenerate(self.model, self.ends, step_ends, batch, side == CALL_PER_STEP)
        elif side == CONTINUOUS:
            batching = ContinuousBatching(self.model, self.ends, step_ends, rows, self.capacity)
            try:
                yield batching
            finally:
                batching.stop()
        else:
            import tempfile

            from scdpo.engines.vllm_engine import VllmEngine

            with tempfile.TemporaryDirectory() as place:
                folder = Path(place) / "model"
                save_model(self.model, self.tokenizer, folder, "")
                marks = Landmarks(self.ends, step_ends, ramps=True)
                yield VllmEngine(folder, marks, rows, self.capacity, self.bench.precision)


def compare(
    work: Work, cases: list[Case], sides: Sides, rules: SamplingRules, progress: Progress | None, console: Console
) -> list[Row]:
    """All sides on all cases: half by half in turns, `generate` first trying its batches on the first half."""
    bench = sides.bench
    amount = Amount(bench.samples, bench.attempts)
    halves = [cases[: len(cases) // 2], cases[len(cases) // 2 :]]

    def run(side: str, part: list[Case], batch: int = 0) -> Figures:
        name = f"{work}, {NAMES[side]}" + (f", {batch} at once" if batch else "")
        bar = progress.add_task(name, total=len(part)) if progress else None

        def hear(done: int) -> None:
            if progress and bar is not None:
                progress.update(bar, completed=done)

        with sides.open(side, batch) as engine:
            figures = measure(work, part, engine, rules, amount, batch or bench.rows, hear)
        if progress and bar is not None:
            progress.remove_task(bar)
        else:
            console.print(f"{name}: {figures.pairs} pairs, {figures.tokens} tokens in {figures.seconds:.1f} s")
        return figures

    run(OURS, halves[0][: max(1, len(halves[0]) // 8)])  # to warm up
    rows = [Row(OURS, run(OURS, halves[0]))]
    for peer in sides.peers(work):
        if peer == CALL_PER_STEP:  # slow: one half only, as many problems at a time as the others have
            batch = next((row.batch for row in rows if row.side == GENERATE), bench.batches[-1])
            rows.append(Row(peer, run(peer, halves[0], batch), batch))
        else:
            tried = [Row(peer, run(peer, halves[0], batch), batch) for batch in (bench.batches if peer == GENERATE else [0])]
            rows.append(max(tried, key=lambda row: row.figures.problems_a_minute))
    return [
        row if row.side == CALL_PER_STEP else Row(row.side, row.figures + run(row.side, halves[1], row.batch), row.batch)
        for row in rows
    ]


def all_ratios(found: dict[Work, list[Row]]) -> tuple[dict[str, float], dict[str, str]]:
    """(ratios over each peer as WORK_vs_PEER, by what): pairs a minute where both sides made ENOUGH of them, else problems a
    minute, whatever came of them."""
    ratios: dict[str, float] = {}
    by: dict[str, str] = {}
    for work, (ours, *others) in found.items():
        for row in others:
            name = f"{work}_vs_{row.side}"
            has_pairs = min(ours.figures.pairs, row.figures.pairs) >= ENOUGH
            by[name] = "pairs a minute" if has_pairs else "problems a minute"
            ratios[name] = (
                ours.figures.pairs_a_minute / row.figures.pairs_a_minute
                if has_pairs
                else ours.figures.problems_a_minute / row.figures.problems_a_minute
            )
    return ratios, by


def as_json(row: Row) -> dict[str, Any]:
    rates = {"pairs_a_minute": row.figures.pairs_a_minute, "tokens_a_second": row.figures.tokens_a_second}
    return asdict(row.figures) | rates | ({"batch": row.batch} if row.batch else {})


def device_name() -> str:
    """What the models of this process lie on, by the name that its maker gives it; "cpu" for any processor."""
    import torch

    return torch.cuda.get_device_name() if engine_device() == "cuda" else engine_device()


def print_table(work: Work, rows: list[Row], share: float, bench: SamplingBench, device: str, console: Console) -> None:
    ours = rows[0].figures
    title = {"naive": "naive sampling", "fork": "forking from long prefixes"}[work]
    prompts = ours.prompt_tokens / max(1, ours.requests)
    console.print(
        f"\n{title}: {bench.model}, {bench.precision} on {device}, {bench.problems} problems of {bench.data}, "
        f"prompts with kept steps of {prompts:.0f} tokens, {ours.tokens / max(1, ours.requests):.0f} new ones a request"
    )
    table = Table(box=None, pad_edge=False)
    for column in ("", "at once", "problems", "requests", "pairs", "pairs a minute", "tokens a second"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=not column)
    for row in rows:
        figures = row.figures
        table.add_row(
            NAMES[row.side],
            str(row.batch or bench.rows),
            f"{figures.problems:,}",
            f"{figures.requests:,}",
            f"{figures.pairs:,}",
            f"{figures.pairs_a_minute:.1f}",
            f"{figures.tokens_a_second:.0f}",
        )
    console.print(table)
    console.print(f"bare matrix products of the same tokens, every prompt once: {share:.0%} of scdpo's time")
