"""What no sampler can beat with this model on this machine: the bare matrix products, prompts once and all rows full."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from benchmarks.sampling.measure import Case, Figures, Work
from benchmarks.waiting import wait_for
from scdpo.engines.graphs import CudaCapture
from scdpo.engines.processors import SlicedLinear, for_processor
from scdpo.solutions.codec import Codec

PROMPT_ROWS = 512
REPEATS = 5


def bound_seconds(work: Work, cases: Sequence[Case], figures: Figures, model: Any, codec: Codec, rows: int) -> float:
    """Seconds that the matrix products of `figures`' tokens take: prompts and kept steps once, `rows` tokens at a time."""
    prompts = 0
    for case in cases:
        kept = case.trunk.steps[: max(case.forks)] if work == "fork" else ()
        prompts += len(codec.prompt(case.problem.question)) + sum(len(step.ids) for step in kept)
    step = products_seconds(model, rows, with_output=True) / rows
    return figures.tokens * step + prompts * products_seconds(model, PROMPT_ROWS, with_output=False) / PROMPT_ROWS


@torch.inference_mode()
def products_seconds(model: Any, rows: int, with_output: bool) -> float:
    """Seconds of one pass of `rows` tokens through every linear layer, and nothing else, where the model lies; the fastest of
    some."""
    if model.device.type == "cpu":
        model = for_processor(model)  # as the engine computes them
    kinds, output = (torch.nn.Linear, SlicedLinear), model.get_output_embeddings()
    layers = [layer for layer in model.modules() if isinstance(layer, kinds) and (with_output or layer is not output)]
    widths = {layer.weight.shape[1]: layer.weight for layer in layers}
    inputs = {width: torch.randn(rows, width, dtype=held.dtype, device=held.device) for width, held in widths.items()}

    def products() -> None:
        for layer in layers:
            layer(inputs[layer.weight.shape[1]])

    # On a GPU the calls would take longer than the products: captured, as the engine's steps are.
    run: Callable[[], object] = CudaCapture(model.device)(products) if model.device.type == "cuda" else products
    fastest = float("inf")
    for _ in range(REPEATS):
        wait_for(model.device)
        began = time.perf_counter()
        run()
        wait_for(model.device)
        fastest = min(fastest, time.perf_counter() - began)
    return fastest
