"""A decoder's shape: the sizes and the counts of the model that its config describes, made without memory.

transformers makes the model on torch's meta device, so parameters and linear layers are those of any architecture it has.
Knows no weights and no recipe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scdpo.errors import ModelError, first_line

LLAMAS = ("llama", "mistral", "qwen2", "smollm3", "granite", "internlm3")
"""Model types whose layers keep for the backward pass what a Llama's do, to the byte (tests/planning/test_shape.py)."""
SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
"""What a config must say for its model to be counted as a Llama."""
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


@dataclass(frozen=True, slots=True)
class Linear:
    """Linear layers of the decoder that are alike: their name, inputs and outputs, and how many there are."""

    name: str
    inputs: int
    outputs: int
    count: int


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a decoder. queries, keys: features of all query and of all key heads; inner: of the feed-forward layers; note:
    what is counted as another model's, for the reader."""

    kind: str
    parameters: int
    linears: tuple[Linear, ...]
    layers: int
    width: int
    inner: int
    heads: int
    queries: int
    keys: int
    vocabulary: int
    tied: bool
    note: str = ""

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.width

    @property
    def layer_products(self) -> int:
        """Weights of the linear layers of all decoder layers: each costs a multiplication and an addition a token."""
        return sum(linear.count * linear.inputs * linear.outputs for linear in self.linears)

    def adapters(self, rank: int, targets: tuple[str, ...]) -> int:
        """Parameters of LoRA adapters of a rank on the targets ("all-linear": every linear layer but the output layer)."""
        wanted = [linear for linear in self.linears if "all-linear" in targets or linear.name in targets]
        return rank * sum(linear.count * (linear.inputs + linear.outputs) for linear in wanted)

    def cache(self, bytes_each: int) -> int:
        """Bytes of the keys and values of one token."""
        return 2 * self.layers * self.keys * bytes_each


def shape_of(fields: Mapping[str, Any]) -> ModelShape:
    """The shape of the model that a config.json describes. Raises ModelError for what is not a decoder, or has experts.

    A model type that transformers does not know is counted as a Llama of the same sizes, and the note says so.
    """
    from transformers import CONFIG_MAPPING

    kind = str(fields.get("model_type", ""))
    if kind in CONFIG_MAPPING:
        note = f"The activations, keys and values of {kind} are counted as those of a Llama of the same sizes."
        return _shape(kind, CONFIG_MAPPING[kind].from_dict(dict(fields)), "" if kind in LLAMAS else note)
    missing = [name for name in SIZES if name not in fields]
    if missing:
        raise ModelError(f'transformers does not know model type "{kind}", and its config lacks {missing[0]} to count it by')
    as_llama = {**fields, "model_type": "llama", "attention_bias": fields.get("attention_bias", fields.get("bias", False))}
    note = f"transformers does not know {kind}; it is counted as a Llama of the same sizes."
    return _shape(kind, CONFIG_MAPPING["llama"].from_dict(as_llama), note)


def _shape(kind: str, config: Any, note: str) -> ModelShape:
    import torch
    from transformers import AutoModelForCausalLM

    sizes = config.get_text_config()
    if any(getattr(sizes, name, None) for name in EXPERTS):
        raise ModelError(f'model type "{kind}" has experts, which scdpo plan cannot count; plan a dense model of its size')
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
        linears = _linears(model.get_decoder())
        width, heads = sizes.hidden_size, sizes.num_attention_heads
        head = getattr(sizes, "head_dim", None) or width // heads
        return ModelShape(
            kind=kind,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            linears=linears,
            layers=sizes.num_hidden_layers,
            width=width,
            inner=getattr(sizes, "intermediate_size", None) or max(linear.inputs for linear in linears),
            heads=heads,
            queries=heads * head,
            keys=(getattr(sizes, "num_key_value_heads", None) or heads) * head,
            vocabulary=sizes.vocab_size,
            tied=bool(sizes.tie_word_embeddings),
            note=note,
        )
    except Exception as error:  # the library raises many types for a config of something else
        raise ModelError(f'model type "{kind}" is not a decoder that scdpo plan can count: {first_line(error)}') from error


def _linears(decoder: Any) -> tuple[Linear, ...]:
    """The decoder's layers that multiply by a matrix: all that have a weight of two dimensions, but the embeddings."""
    from torch import nn

    found: Counter[tuple[str, int, int]] = Counter()
    for path, layer in decoder.named_modules():
        weight = getattr(layer, "weight", None)
        if weight is not None and weight.ndim == 2 and not isinstance(layer, nn.Embedding):
            outputs, inputs = weight.shape if isinstance(layer, nn.Linear) else weight.shape[::-1]  # GPT-2's lie turned over
            found[path.rpartition(".")[2], inputs, outputs] += 1
    return tuple(Linear(*sizes, count) for sizes, count in found.items())
