"""Floating-point operations of a token, and the hours that they take. Knows shapes and accelerators; knows no recipe."""

from __future__ import annotations

from dataclasses import dataclass

from scdpo.planning.accelerators import Accelerator
from scdpo.planning.shape import ModelShape
from scdpo.training.settings import OptimizerSettings


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How much of an accelerator's peaks is reached: of products in training and over prompts, of bandwidth in decoding."""

    training: float = 0.35
    decoding: float = 0.5


def forward_flops(shape: ModelShape, length: float, counted: float = 1.0) -> float:
    """Operations of a token in a row of `length`, half of which it sees on average: two a weight, and attention. counted: the
    share of tokens whose logits are computed."""
    attention = 4 * shape.layers * shape.queries * length / 2
    return 2 * shape.layer_products + attention + 2 * counted * shape.embedding


def training_flops(shape: ModelShape, settings: OptimizerSettings, length: float, counted: float) -> float:
    """Operations of a token, forward and backward: three forward passes; two where the weights are frozen (LoRA), whose
    gradients are not computed; one more where activations are computed again."""
    passes = (2 if settings.lora.rank else 3) + settings.activation_checkpointing
    adapters = 6 * shape.adapters(settings.lora.rank, settings.lora.targets) if settings.lora.rank else 0
    return passes * forward_flops(shape, length, counted) + adapters


def compute_seconds(flops: float, each: Accelerator, count: int, efficiency: Efficiency) -> float:
    return flops / (each.tflops * 1e12 * efficiency.training * count)


def decoding_seconds(
    shape: ModelShape,
    tokens: float,
    rows: float,
    length: float,
    size: int,
    each: Accelerator,
    count: int,
    efficiency: Efficiency,
) -> float:
    """Seconds for `tokens` by `count` workers with `rows` rows each: every step reads all weights, and each row's keys and
    values of half its `length`."""
    read = shape.parameters * size + rows * length / 2 * shape.cache(size)
    return tokens / (rows * count) * read / (each.bandwidth * 1e9 * efficiency.decoding)
