"""The output layer: log-probs of counted tokens and their gradients, ours against Liger's fused layer and plain logits."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.gpu.bench import Bench
from benchmarks.waiting import wait_for
from scdpo.training.log_probs import CHUNK
from scdpo.training.output_layer import target_log_probs

GB = 1e9
TRIES = 5


def measure(bench: Bench) -> None:
    """Forward and backward in bfloat16, from float32 weights and states as autocast trains them."""
    tokens, vocabulary, width = bench.sizes.output
    generator = torch.Generator(bench.device).manual_seed(0)
    weight = torch.randn(vocabulary, width, device=bench.device, generator=generator).mul_(width**-0.5).requires_grad_()
    states = torch.randn(tokens, width, device=bench.device, generator=generator).requires_grad_()
    target = torch.randint(vocabulary, (tokens,), device=bench.device, generator=generator)
    upstream = torch.linspace(-1, 1, tokens, device=bench.device)
    found: dict[str, Tensor] = {}
    for name, compute in ways().items():
        if compute is None:
            bench.add(name, {"tokens": tokens, "installed": False}, "not installed")
            continue
        for parts in {1, -(-tokens // CHUNK)}:  # all tokens at once, and in the chunks of a training
            try:
                seconds, peak, found[name] = run(compute, states, weight, target, upstream, parts)
            except torch.OutOfMemoryError:
                bench.add(name, {"tokens": tokens, "parts": parts, "out_of_memory": True}, f"{parts} parts: out of memory")
                continue
            off = (found[name] - found["plain logits"]).abs().max().item() if "plain logits" in found else 0.0
            facts: dict[str, float] = {"tokens": tokens, "vocabulary": vocabulary, "width": width, "parts": parts}
            facts |= {"milliseconds": 1000 * seconds, "peak_gb": peak, "off_nats": off}
            bench.add(name, facts, f"{parts} parts: {1000 * seconds:.2f} ms, {peak:.2f} GB, off by {off:.1e} nats")


def ways() -> dict[str, Callable[..., Tensor] | None]:
    liger = ligers() if find_spec("liger_kernel") and torch.cuda.is_available() else None
    return {
        "plain logits": plain,
        "ours, kept": lambda states, weight, target: target_log_probs(states, weight, None, target),
        "ours, computed again": lambda states, weight, target: target_log_probs(states, weight, None, target, keep=False),
        "Liger's fused layer": liger,
        "Liger's fused layer, rounded once": liger
        and (lambda states, weight, target: liger(states.bfloat16(), weight.bfloat16(), target)),
    }


def plain(states: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    logits = F.linear(states, weight).float()
    return logits.gather(1, target[:, None])[:, 0] - logits.logsumexp(1)


def ligers() -> Callable[..., Tensor]:
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    layer: Any = LigerFusedLinearCrossEntropyLoss(reduction="none")
    return lambda states, weight, target: -layer(weight, states, target)


def run(
    compute: Callable[..., Tensor], states: Tensor, weight: Tensor, target: Tensor, upstream: Tensor, parts: int
) -> tuple[float, float, Tensor]:
    """(the fastest of some tries in seconds, peak GB over what lay there, log-probs)."""
    is_cuda = states.is_cuda
    size = -(-len(states) // parts)
    best, peak = float("inf"), 0.0
    for _ in range(TRIES):
        states.grad = weight.grad = None
        wait_for(states.device)
        if is_cuda:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        began = time.perf_counter()
        made = []
        for part, ids, gradient in zip(states.split(size), target.split(size), upstream.split(size), strict=True):
            with torch.autocast(states.device.type, torch.bfloat16):
                log_probs = compute(part, weight, ids)
            log_probs.backward(gradient)
            made.append(log_probs.detach())
        wait_for(states.device)
        if is_cuda:
            peak = (torch.cuda.max_memory_allocated() - before) / GB
        best = min(best, time.perf_counter() - began)
    return best, peak, torch.cat(made)
