"""Peak memory of a process that trains or samples, by what takes it. All in bytes. Knows shapes and settings; knows no recipe.

Activations are those that autograd saves in a decoder layer (tests/planning compares them with what it does save).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from scdpo.engines.limits import largest_pass, slots
from scdpo.engines.settings import EngineSettings
from scdpo.planning.shape import ModelShape
from scdpo.training.settings import OptimizerSettings

MIB = 2**20
BASE = 525 * MIB
"""A process with Python, torch and transformers, before it loads anything: measured."""
TRAINER = 50 * MIB
"""What a training's libraries take beside it at the first step: measured on the quickstart."""
BASE_GPU = 600 * MIB
"""What a process takes of a GPU's memory beside tensors: CUDA's context. Assumed."""
RECORD = 80
"""Bytes in memory for each token of what a training reads: Python objects of steps and ids. Measured on the quickstart."""
FLOAT, HALF = 4, 2
KEPT = 0.6
"""What a processor's heap and oneDNN keep in bfloat16 trainings, over what comes and goes: measured on SmolLM2; in float32
none was seen (docs/plan.md)."""
QUANTIZED = {"nf4": 0.52, "int8": 1.01}
"""Bytes of a frozen weight with its scales (bitsandbytes)."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one process at its peak.

    casts: bfloat16 copies of weights under autocast; activations: with the 4-D mask; logits: with what normalises them;
    passing: buffers of gradients and updates that come and go; cache: keys and values, and the state of rows; checking: what
    the check of log-probs takes beyond all else, where weights are float32 in it and rounded afterwards.
    """

    base: float
    weights: float
    gradients: float = 0.0
    states: float = 0.0
    casts: float = 0.0
    activations: float = 0.0
    logits: float = 0.0
    passing: float = 0.0
    cache: float = 0.0
    checking: float = 0.0
    heap: float = 0.0
    """What a processor's heap and matrix library keep beside live tensors."""

    @property
    def total(self) -> float:
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True)
class Load:
    """What a training computes at once. tokens: of the largest micro-batch, padding included; width: of its rows; counted: the
    share of tokens whose logits are needed; masked: a 4-D mask goes along (trees); records: tokens of the data held in
    memory."""

    tokens: float
    width: float
    counted: float
    masked: bool
    records: float = 0.0


def trainable(shape: ModelShape, settings: OptimizerSettings) -> int:
    lora = settings.lora
    return shape.adapters(lora.rank, lora.targets) if lora.rank else shape.parameters


def holds_rounded(settings: OptimizerSettings, processes: int = 1) -> bool:
    """Whether frozen weights that are multiplied are held in bfloat16 (scdpo.training.adapters.round_frozen)."""
    lora = settings.lora
    return settings.precision == "bfloat16" and lora.rank > 0 and not lora.quantize and processes == 1


def weight_bytes(shape: ModelShape, settings: OptimizerSettings, processes: int = 1) -> float:
    """Bytes of the weights as a training of so many processes holds them together: float32, or rounded or quantized where
    frozen, with adapters."""
    adapters = trainable(shape, settings) * FLOAT if settings.lora.rank else 0
    smaller, size = 0, 0.0
    if holds_rounded(settings, processes):
        smaller, size = shape.layer_products + (0 if shape.tied else shape.embedding), HALF
    elif settings.lora.quantize:
        smaller, size = shape.layer_products, QUANTIZED[settings.lora.quantize]
    return smaller * size + (shape.parameters - smaller) * FLOAT + adapters


def state_bytes(shape: ModelShape, settings: OptimizerSettings) -> float:
    """The bytes of the optimizer: two moments a weight (AdamW), one for hidden matrices (Muon)."""
    if settings.optimizer == "muon":
        return (2 * shape.parameters - shape.layer_products) * FLOAT
    return 2 * trainable(shape, settings) * FLOAT


def layer_activations(shape: ModelShape, half: bool, masked: bool, width: float) -> float:
    """Bytes that one decoder layer saves of a token for the backward pass.

    float32: two norms save input, normed and scaled values each (6 widths); attention queries, keys, values and its output; the
    feed-forward layer four inner vectors. Under autocast the norms' results are cast once for each of five linear layers.
    With a mask, keys and values are repeated for all heads, and the mask becomes numbers, `width` of them a token.
    """
    size = HALF if half else FLOAT
    norms = 2 * (2 * FLOAT + FLOAT * (not half)) * shape.width + (5 * HALF * shape.width if half else 0)
    keys = shape.queries if masked else shape.keys
    attention = (2 * shape.queries + 2 * keys) * size + FLOAT * shape.heads + (width * size if masked else 0)
    return norms + attention + 4 * shape.inner * size + 2 * FLOAT


def training_memory(
    shape: ModelShape, settings: OptimizerSettings, load: Load, processes: int = 1, gpu: bool = False
) -> Memory:
    """The peak of one of `processes` that share a training (FSDP: weights, gradients and states divided).

    The backward pass of a later micro-batch meets all: gradients of those before it, states, and its own activations.
    """
    half = settings.precision == "bfloat16"
    own = trainable(shape, settings)
    layer = layer_activations(shape, half, load.masked, load.width) * load.tokens
    activations = shape.layers * layer
    layer_cast = shape.layer_products / shape.layers * HALF
    casts = 0.0 if not half else shape.layers * layer_cast if processes == 1 else 0.0
    if settings.lora.quantize:
        casts = 2 * layer_cast
    if holds_rounded(settings, processes):
        casts = 0.0
    if settings.activation_checkpointing:
        activations = shape.layers * shape.width * FLOAT * load.tokens + layer
        casts = casts if not settings.lora.rank else min(casts, 2 * layer_cast)
    mask = load.tokens * load.width if load.masked else 0.0  # one byte each, as collated
    counted = min(load.counted * load.tokens, settings.logits_per_chunk)
    logits = counted * shape.vocabulary * (FLOAT + HALF * half)
    largest = 0 if settings.lora.rank else shape.embedding
    passing = (2 * FLOAT + HALF * half) * largest
    memory = Memory(
        base=BASE_GPU if gpu else BASE + TRAINER + load.records * RECORD,
        weights=weight_bytes(shape, settings, processes) / processes,
        gradients=own * FLOAT / processes,
        states=state_bytes(shape, settings) / processes,
        casts=casts + (gathered(shape, half) if processes > 1 else 0.0),
        activations=activations + mask,
        logits=logits,
        passing=passing,
        heap=KEPT * (casts + activations + logits + passing) if half and not gpu else 0.0,
    )
    return checked_before(memory, shape, settings, load) if holds_rounded(settings, processes) else memory


def checked_before(memory: Memory, shape: ModelShape, settings: OptimizerSettings, load: Load) -> Memory:
    """What follows a check of the longest row in float32, whose weights are rounded only then."""
    weights = (shape.parameters + trainable(shape, settings)) * FLOAT
    activations = layer_activations(shape, False, load.masked, load.width) * load.width
    logits = load.width * shape.vocabulary * FLOAT
    check = Memory(base=memory.base, weights=weights, activations=activations, logits=logits)
    return replace(memory, checking=max(0.0, check.total - memory.total))


def gathered(shape: ModelShape, half: bool) -> float:
    """Bytes of what a process of several has whole at once: a layer and the next one, and the embeddings."""
    weights = 2 * shape.layer_products / shape.layers + shape.embedding * (1 if shape.tied else 2)
    return weights * (HALF if half else FLOAT)


def reference_memory(
    shape: ModelShape, settings: OptimizerSettings, load: Load, processes: int = 1, gpu: bool = False
) -> Memory:
    """The pass for reference log-probs, which keeps nothing for a backward pass; sharded like the training."""
    half = settings.precision == "bfloat16"
    counted = min(load.counted * load.tokens, settings.logits_per_chunk)
    is_rounded = holds_rounded(settings, processes)
    casts = shape.layer_products * HALF if half and not settings.lora.quantize and not is_rounded else 0.0
    memory = Memory(
        base=BASE_GPU if gpu else BASE + load.records * RECORD,
        weights=weight_bytes(shape, settings, processes) / processes,
        casts=gathered(shape, half) if processes > 1 else casts,
        activations=layer_activations(shape, half, load.masked, load.width) * load.tokens,
        logits=counted * shape.vocabulary * (FLOAT + HALF * half),
    )
    return checked_before(memory, shape, settings, load) if is_rounded else memory


def sampling_memory(
    shape: ModelShape,
    settings: EngineSettings,
    context: int,
    prompt: float,
    longest: float,
    can_stop: bool,
    block: float = 0.0,
    gpu: bool = False,
) -> Memory:
    """A worker that samples with the embedded engine: weights, all rows' keys and values, and a step's or a pass's own.

    longest: tokens of a solution with its prompt, whose pages a processor counts when written, a GPU all; can_stop: whether
    solutions stop to have code run, for which rows are kept; block: tokens of the solutions of a block, held until it is done.
    """
    if settings.kind == "server":
        return Memory(base=0.0 if gpu else BASE, weights=0.0)
    size = HALF if settings.precision == "bfloat16" else FLOAT
    if settings.kind == "vllm":  # the least it starts with: it takes engine.vllm.memory of what is there, for more rows
        cache = context * shape.cache(size)
        return Memory(base=BASE_GPU if gpu else BASE, weights=shape.parameters * size, cache=cache)
    rows = slots(settings.rows, can_stop).stop
    places = context + 1 if gpu else min(context + 1, longest)
    state = settings.rows * context * (3 * 8 + 2 * FLOAT)
    drawing = settings.rows * shape.vocabulary * (size + 3 * FLOAT + 2 * 8)  # float64 shares, and their running sums
    passed = largest_pass(settings.rows, prompt)
    pass_own = passed * (size * (4 * shape.width + 3 * shape.inner + 4 * shape.queries) + prompt * size)
    return Memory(
        base=BASE_GPU if gpu else BASE + block * RECORD,
        weights=shape.parameters * size + (0 if gpu or size == FLOAT else shape.embedding * FLOAT),
        activations=max(pass_own, 0),
        logits=drawing,
        cache=rows * places * shape.cache(size) + state,
    )
