"""A training step on trees, by layout, against TRL's at its best settings on the same card: pairs a second, memory, losses.

Each side runs in a process of its own, one after the other, because both together might not fit the card.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.errors import BenchError
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.record import device_name
from benchmarks.gpu.sizes import TrainingCase
from benchmarks.shapes import SHAPES, write_shape
from benchmarks.training.compare import count_tokens, one_step, side
from benchmarks.training.sides import Job, StepFigures
from benchmarks.training.trees import shaped_rows
from benchmarks.waiting import wait_for
from scdpo.planning.accelerators import ACCELERATORS
from scdpo.planning.flops import training_flops
from scdpo.planning.shape import shape_of
from scdpo.training.collator import Layout
from scdpo.training.layouts import preferred
from scdpo.training.settings import LoraSettings, PreferenceSettings

WARM_UP = 2
"""Steps before those that count: kernels are compiled and memory grows."""
Found = dict[str, list[StepFigures]]
SIDE_SECONDS = 12.0
"""What a side takes at least: no other is begun where less is left."""


def measure(bench: Bench) -> None:
    """Of every case first what its comparison needs least, then the rest, as far as there is time."""
    peak = products_peak(bench)
    with tempfile.TemporaryDirectory() as folder:
        cases: list[tuple[TrainingCase, Job, Found]] = [
            (case, job_of(bench, case, Path(folder) / str(number)), {}) for number, case in enumerate(bench.sizes.cases)
        ]
        for further in (False, True):
            for case, job, found in cases:
                measure_case(bench, case, job, peak, found, further)


def products_peak(bench: Bench) -> float:
    """TFLOP a second of a large bfloat16 product on random data: what this card reaches, beside what its vendor names."""
    side = bench.sizes.side
    one, other = (torch.randn(side, side, device=bench.device).bfloat16() for _ in range(2))
    seconds = []
    for _ in range(13):
        wait_for(bench.device)
        began = time.perf_counter()
        one @ other
        wait_for(bench.device)
        seconds.append(time.perf_counter() - began)
    reached = 2 * side**3 / median(seconds[3:]) / 1e12
    name = device_name(bench.device).upper()
    vendor = next((each.tflops for each in ACCELERATORS if each.name.partition("-")[0].upper() in name), None)
    facts = {"tflops": reached, "vendor_tflops": vendor, "side": side}
    bench.add("peak of bfloat16 products", facts, f"{reached:.0f} TFLOP/s (vendor: {vendor or 'not known here'})")
    return vendor or reached


def job_of(bench: Bench, case: TrainingCase, folder: Path) -> Job:
    rows = shaped_rows(case.tree, case.trees * (WARM_UP + bench.sizes.steps), int(SHAPES[case.shape]["vocab_size"]))
    settings = PreferenceSettings(
        lr=1e-6,
        warmup=0,
        schedule="constant",
        tokens_per_micro_batch=case.tokens,
        precision="bfloat16" if bench.device == "cuda" else "float32",
        activation_checkpointing=case.checkpointing,
        lora=LoraSettings(rank=case.rank),
    )
    return Job(str(write_shape(case.shape, folder / "shape")), tuple(rows), case.trees, settings)


def measure_case(bench: Bench, case: TrainingCase, job: Job, peak: float, found: Found, further: bool) -> None:
    """The sides of a case, as far as there is time, and what they come to beside those found before."""
    pairs = sum(map(len, (row.pairs for row in job.steps[0])))
    counted = replace(job, rows=job.rows[WARM_UP * job.trees :])
    tokens = count_tokens(counted)
    flops = flops_of(case, counted)
    settings = job.settings.model_dump(mode="json", include={"tokens_per_micro_batch", "precision", "activation_checkpointing"})
    common = {"case": case.name, "shape": case.shape, "rank": case.rank, "pairs": pairs, "settings": settings}
    ruled = preferred(job.rows, bench.device)[0]
    for name, asked in further_sides(bench, case, job, ruled, found) if further else first_sides(case, job, ruled):
        steps = [] if bench.left < SIDE_SECONDS else steps_of(asked)
        if not steps:
            why = "no time left" if bench.left < SIDE_SECONDS else "ended before its time (out of memory?); see above"
            bench.add(f"{case.name}; {name}", common | {"side": name, "note": why}, why)
            continue
        found[name] = steps
        seconds = median(step.seconds for step in steps)
        share = flops / seconds / 1e12 / peak if name.startswith("scdpo") and "pairs" not in name else None
        facts = {
            "side": name,
            "seconds": [step.seconds for step in steps],
            "losses": [step.loss for step in steps],
            "pairs_a_second": pairs / seconds,
            "peak_gb": max(step.peak for step in steps),
            "tokens": {"trees": tokens.trees, "pairs": tokens.pairs, "counted": tokens.counted},
        }
        shown = f"{pairs / seconds:.2f} pairs a second, {facts['peak_gb']:.2f} GB"
        shown += f", {share:.0%} of the card's peak" if share else ""
        bench.add(
            f"{case.name}; {name}", common | facts | ({"share_of_peak": share, "tflop": flops / 1e12} if share else {}), shown
        )
    compare(bench, case, f"scdpo, {ruled}", found)


def first_sides(case: TrainingCase, job: Job, ruled: Layout) -> list[tuple[str, Job]]:
    """Ours with the layout that "auto" takes, and TRL with the first number of pairs at once, where it is installed."""
    return [ours(job, ruled), *(trl(job, at_once) for at_once in case.trl[:1] if find_spec("trl"))]


def further_sides(
    bench: Bench, case: TrainingCase, job: Job, ruled: Layout, found: Mapping[str, Sequence[StepFigures]]
) -> Iterator[tuple[str, Job]]:
    """TRL with other numbers of pairs at once, and its fastest with Liger's kernels, where they are installed; then our other
    layouts. found: who has been measured."""
    if find_spec("trl") is None:
        bench.add(f"{case.name}; TRL", {"case": case.name, "installed": False}, "not installed")
    else:
        yield from (trl(job, at_once) for at_once in case.trl[1:])
        best = fastest({name: steps for name, steps in found.items() if name.startswith("TRL")})
        if best and bench.device == "cuda" and find_spec("liger_kernel"):
            name, asked = trl(job, int(best.split()[1]))
            yield f"{name}, Liger", replace(asked, liger=True)
    yield from (ours(job, layout) for layout in case.layouts if layout != ruled)


def ours(job: Job, layout: Layout) -> tuple[str, Job]:
    return f"scdpo, {layout}", replace(job, settings=job.settings.model_copy(update={"layout": layout}))


def trl(job: Job, at_once: int) -> tuple[str, Job]:
    return f"TRL, {at_once} at once", replace(job, pairs_a_forward=at_once)


def steps_of(job: Job) -> list[StepFigures]:
    """A side's steps after the warm-up; none where its process dies."""
    with suppress(BenchError), side(job) as line:
        return [one_step(line) for _ in job.steps][WARM_UP:]
    return []


def flops_of(case: TrainingCase, job: Job) -> float:
    """Operations of an average step on trees: the decoder's products, attention, and logits where they are counted."""
    shape = shape_of(SHAPES[case.shape])
    tokens = count_tokens(job)
    length = tokens.trees / job.trees
    return tokens.trees * training_flops(shape, job.settings, length, tokens.counted / tokens.trees)


def compare(bench: Bench, case: TrainingCase, ruled: str, found: Mapping[str, Sequence[StepFigures]]) -> None:
    """The layout that the rule takes against our fastest one and TRL's fastest setting, with losses at the same steps."""
    own = {name: steps for name, steps in found.items() if name.startswith("scdpo")}
    best = fastest(own)
    bench.add(f"{case.name}; the rule", {"case": case.name, "takes": ruled, "fastest": best}, f"takes {ruled}; fastest: {best}")
    theirs = fastest({name: steps for name, steps in found.items() if name not in own})
    if ruled not in found or not theirs:
        return
    speed = _seconds(found[theirs]) / _seconds(found[ruled])
    memory = max(step.peak for step in found[ruled]) / max(step.peak for step in found[theirs])
    apart = max(abs(one.loss / other.loss - 1) for one, other in zip(found[ruled], found[theirs], strict=True))
    facts: dict[str, Any] = {"case": case.name, "ours": ruled, "trl": theirs, "pairs_a_second": speed, "peak_memory": memory}
    shown = f"{speed:.2f} times the pairs a second, {memory:.2f} of the peak memory, losses {apart:.1e} apart"
    bench.add(f"{case.name}; {ruled} against {theirs}", facts | {"losses_apart": apart}, shown)


def fastest(sides: Mapping[str, Sequence[StepFigures]]) -> str:
    return min(sides, key=lambda name: _seconds(sides[name]), default="")


def _seconds(steps: Sequence[StepFigures]) -> float:
    return median(step.seconds for step in steps)
