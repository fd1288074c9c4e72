"""Sampling: the embedded engine against transformers' generate and its continuous batching, on forks of a shape's solutions.

Several attempts go on from each of some prompts with kept steps, at the paper's ramp, each to a length of its own. Random
weights never end a solution, so all sides generate the same number of tokens.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.errors import BenchError
from benchmarks.gpu.bench import Bench
from benchmarks.sampling.peers import BatchedGenerate, ContinuousBatching
from benchmarks.shapes import model_of_shape, write_shape
from benchmarks.waiting import wait_for
from scdpo.engines.interface import Engine, Generate
from scdpo.engines.temperature import TemperatureRamp
from scdpo.engines.transformers_engine import TransformersEngine
from scdpo.sampling.driver import run_all

KEPT = range(100, 300)
"""Tokens of a prompt with its kept steps."""
STEP_ENDS = range(10, 20)
SIDE_SECONDS = 10.0
"""What a side takes at least: no other is begun where less is left."""


def measure(bench: Bench) -> None:
    sizes = bench.sizes
    with tempfile.TemporaryDirectory() as folder:
        dtype = "bfloat16" if bench.device == "cuda" else "float32"
        model = model_of_shape(write_shape(sizes.sampled, Path(folder)), bench.device, dtype)
    requests = forks(sizes.trunks, sizes.attempts, sizes.new_tokens, model.config.vocab_size)
    capacity = KEPT.stop + sizes.new_tokens
    ends = {model.config.vocab_size - 1}
    sides: dict[str, Callable[[], Any]] = {
        "scdpo": lambda: TransformersEngine(model, ends, STEP_ENDS, sizes.rows, capacity),
        "scdpo, one token at a time": lambda: TransformersEngine(model, ends, STEP_ENDS, sizes.rows, capacity, burst=1),
        "generate": lambda: BatchedGenerate(model, ends, STEP_ENDS, sizes.rows, a_step=False),
        "continuous batching": lambda: ContinuousBatching(model, ends, STEP_ENDS, sizes.rows, capacity),
    }
    speeds: dict[str, float] = {}
    for name, make in sides.items():
        if bench.left < SIDE_SECONDS:
            bench.add(name, {"note": "no time left"}, "no time left")
            continue
        try:
            seconds, tokens = timed(make(), requests, bench.device, sizes.rows)
        except (BenchError, RuntimeError, TypeError, ValueError) as error:  # a library's way that does not run here
            if name.startswith("scdpo"):
                raise
            bench.add(name, {"note": str(error)[:300]}, f"failed: {str(error)[:120]}")
            continue
        speeds[name] = tokens / seconds
        facts = {"shape": sizes.sampled, "requests": len(requests), "rows": sizes.rows, "tokens": tokens, "seconds": seconds}
        shown = f"{tokens / seconds:,.0f} tokens a second, {len(requests) / seconds:.1f} forks a second"
        bench.add(name, facts | {"tokens_a_second": speeds[name], "forks_a_second": len(requests) / seconds}, shown)
    for name in speeds:
        if name != "scdpo" and "scdpo" in speeds:
            bench.add(
                f"scdpo over {name}", {"ratio": speeds["scdpo"] / speeds[name]}, f"{speeds['scdpo'] / speeds[name]:.2f} times"
            )


def forks(trunks: int, attempts: int, most: int, vocabulary: int) -> list[Generate]:
    draw = random.Random("forks")
    asked: list[Generate] = []
    for _ in range(trunks):
        ids = tuple(draw.randrange(20, vocabulary - 1) for _ in range(draw.choice(KEPT)))
        for _ in range(attempts):
            asked.append(Generate(ids, TemperatureRamp(), draw.randint(most // 8, most), len(asked)))
    return asked


def timed(engine: Engine, requests: list[Generate], device: str, rows: int) -> tuple[float, int]:
    """(seconds, tokens) of all requests, after all of them once to warm up: steps of every shape are captured by then."""

    def ask(request: Generate) -> Any:
        return (yield request)

    try:
        run_all((ask(request) for request in requests), engine, 2 * rows)
        engine.reset()
        wait_for(device)
        began = time.perf_counter()
        done = run_all((ask(request) for request in requests), engine, 2 * rows)
        return time.perf_counter() - began, sum(len(completion.ids) for completion in done)
    finally:
        if isinstance(engine, ContinuousBatching):  # which has threads of its own
            engine.stop()
