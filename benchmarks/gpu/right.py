"""Is it right on this device: layouts give one loss and one gradient, the engine the ids of a processor and those of its seeds.

The truth is float32 on the same device, pair by pair; across devices, float32 on the processor.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.bench import Bench
from benchmarks.training.trees import TreeShape, shaped_rows
from scdpo.engines.interface import Completion, Generate
from scdpo.engines.temperature import TemperatureRamp
from scdpo.engines.transformers_engine import TransformersEngine
from scdpo.sampling.driver import run_all
from scdpo.training.collator import Item, Layout, collate_pairs
from scdpo.training.layouts import set_attention, to_device
from scdpo.training.log_probs import token_log_probs
from scdpo.training.objectives import PreferenceObjective

VOCABULARY = 1000
TREES = TreeShape(prompt=40, steps=4, step=30, step_controlled=2)
"""Some trees of these fill several blocks of FlexAttention."""
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LOSS, GRADIENT = 1e-4, 1e-3
"""How far float32 may be off, relatively; bfloat16 twice as far as pairs in bfloat16 are, and a little more."""
LITTLE = 0.02
TIE = 1e-3
"""Nats between two ids that are called equally likely."""


def measure(bench: Bench) -> None:
    flaws = [*layouts(bench), *engine(bench), *tests(bench)]
    if flaws:
        sys.exit(f"not shown to be right on this device: {', '.join(flaws)}")


def decoder(kind: str) -> Any:
    """A small random model with heads as wide as real ones."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"vocab_size": VOCABULARY, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048}
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(
        AutoConfig.for_model(kind, **sizes, **heads, initializer_range=0.1), attn_implementation="sdpa", dtype=torch.float32
    ).eval()


def layouts(bench: Bench) -> Iterator[str]:
    """Losses and gradients of packed trees and of trees against pairs, in both formats. Gives what is wrong."""
    rows = shaped_rows(TREES, bench.sizes.trees, VOCABULARY)
    for kind in ("llama", "qwen2"):
        model = decoder(kind).to(bench.device)
        truth = losses_and_gradient(model, rows, "pairs", "float32", bench.device)
        for name in FORMATS:
            pairs = errors(losses_and_gradient(model, rows, "pairs", name, bench.device), truth)
            for layout in ("packed", "tree"):
                loss, gradient = errors(losses_and_gradient(model, rows, layout, name, bench.device), truth)
                most = (LOSS, GRADIENT) if name == "float32" else tuple(2 * error + LITTLE for error in pairs)
                fits = loss <= most[0] and gradient <= most[1]
                facts = {"model": kind, "layout": layout, "precision": name, "loss": loss, "gradient": gradient, "pairs": pairs}
                shown = f"losses off by {loss:.1e}, gradients by {gradient:.1e}: {'right' if fits else 'WRONG'}"
                bench.add(f"{kind}, {name}, {layout}", facts | {"right": fits}, shown)
                if not fits:
                    yield f"{layout} in {name}"


def losses_and_gradient(model: Any, rows: Sequence[Any], layout: Layout, precision: str, device: str) -> tuple[Tensor, Tensor]:
    set_attention(model, layout)
    collated = collate_pairs([Item(row, tuple((-300.0, -310.0) for _ in row.pairs)) for row in rows], layout)
    batch = {name: to_device(value, torch.device(device)) for name, value in collated.items()}
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
        losses, _ = PreferenceObjective(0.1, layout=layout).losses(token_log_probs(model, batch), batch)
    gradients = torch.autograd.grad(losses.sum(), list(model.parameters()))
    set_attention(model, "tree")
    return losses.detach(), torch.cat([part.flatten() for part in gradients])


def errors(found: tuple[Tensor, Tensor], truth: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """How far losses and gradients are off, as a share of the truth's norm."""
    losses, gradient = ((one - other).norm() / other.norm() for one, other in zip(found, truth, strict=True))
    return losses.item(), gradient.item()


def engine(bench: Bench) -> Iterator[str]:
    """Greedy ids against the processor's; draws alone, together and again; log-probs against the model's own. Gives what is
    wrong."""
    model = decoder("llama")
    draw = torch.Generator().manual_seed(1)
    prompts = [tuple(torch.randint(5, VOCABULARY, (12 + n,), generator=draw).tolist()) for n in range(24)]
    greedy = [Generate(ids, TemperatureRamp.constant(0.0), 40) for ids in prompts]
    drawn = [Generate(ids, TemperatureRamp(), 40, seed) for seed, ids in enumerate(prompts)]
    here, there = (generated(model, greedy, device) for device in (bench.device, "cpu"))
    alike = sum(as_likely(one, other) for one, other in zip(here, there, strict=True))
    bench.add("greedy ids", {"requests": len(greedy), "alike": alike}, f"{alike} of {len(greedy)} as on the processor")
    first, again = generated(model, drawn, bench.device), generated(model, drawn[::-1], bench.device)[::-1]
    same = sum(one.ids == other.ids for one, other in zip(first, again, strict=True))
    bench.add("draws", {"requests": len(drawn), "alike": same}, f"{same} of {len(drawn)} the same in another order")
    if alike < len(greedy):
        yield "greedy ids"
    if same < len(drawn):
        yield "draws of seeds"
    for name, dtype in FORMATS.items():
        rounded = copy.deepcopy(model).to(dtype)
        off = max(
            _off(rounded.to(bench.device), r, c) for r, c in zip(drawn, generated(rounded, drawn, bench.device), strict=True)
        )
        bench.add(f"log-probs, {name}", {"nats": off}, f"off by {off:.1e} nats at most")
        if off > (1e-3 if name == "float32" else 0.3):
            yield f"log-probs in {name}"


def generated(model: Any, requests: Sequence[Generate], device: str) -> list[Completion]:
    made = TransformersEngine(copy.deepcopy(model).to(device), {2}, {6}, rows=8, capacity=128)
    return run_all((_ask(request) for request in requests), made, 16)


def as_likely(one: Completion, other: Completion) -> bool:
    """Whether two greedy completions are alike, or alike up to where two ids are equally likely and rounding decides."""
    pairs = zip(zip(one.ids, one.log_probs, strict=True), zip(other.ids, other.log_probs, strict=True), strict=False)
    differing = next((abs(a - b) for (first, a), (second, b) in pairs if first != second), None)
    return len(one.ids) == len(other.ids) if differing is None else differing < TIE


def _ask(request: Generate) -> Any:
    return (yield request)


@torch.no_grad()
def _off(model: Any, request: Generate, completion: Completion) -> float:
    """The largest difference of a completion's log-probs to those of the model's whole forward pass, in nats."""
    ids = torch.tensor([[*request.ids, *completion.ids]], device=model.device)
    log_probs = model(input_ids=ids).logits[0].float().log_softmax(-1)[len(request.ids) - 1 : -1]
    own = log_probs.gather(1, ids[0, len(request.ids) :, None])[:, 0].cpu()
    return (own - torch.tensor(completion.log_probs)).abs().max().item() if completion.ids else 0.0


def tests(bench: Bench) -> Iterator[str]:
    """Run the tests of layouts and engine on the device, where they and what they need are. Gives what is wrong."""
    folder = Path(__file__).parents[2]
    missing = [name for name in ("pytest", "hypothesis") if find_spec(name) is None]
    if missing or not (folder / "tests").is_dir():
        bench.add("tests", {"run": False}, f"not run: {' and '.join(missing) or 'the repository'} not there")
        return
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *bench.sizes.tests]
    variables = os.environ | {"SCDPO_TEST_DEVICE": bench.device}
    try:
        done = subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, timeout=max(1.0, bench.left))
    except subprocess.TimeoutExpired:
        bench.add("tests", {"run": True, "ended": "out of time"}, "out of time")
        yield "tests, which ran out of time"
        return
    lines = [line for line in done.stdout.splitlines() if line.strip()] or done.stderr.splitlines() or [""]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    bench.add("tests", {"run": True, "exit": done.returncode, "failed": failed, "last": lines[-1]}, lines[-1])
    if done.returncode:
        yield "tests"
