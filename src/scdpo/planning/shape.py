"""A decoder's shape: what its config says, and the numbers that follow from it alone: parameters, products, bytes a token.

Counts decoders of Llama's kind (pre-norm, gated feed-forward, rotary positions). Knows no weights and no recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scdpo.errors import ModelError

COUNTED = ("llama", "mistral", "qwen2", "qwen3", "internlm2")
"""Model types whose parameters are counted exactly; others of this kind are counted as a Llama, and said to be."""
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer of each decoder layer: its name, inputs, outputs, and whether it has a bias."""

    name: str
    inputs: int
    outputs: int
    bias: bool = False

    @property
    def weights(self) -> int:
        return self.inputs * self.outputs


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of a decoder. queries, keys: features of all query and of all key heads; inner: of the feed-forward layers."""

    kind: str
    layers: int
    width: int
    inner: int
    heads: int
    queries: int
    keys: int
    vocabulary: int
    tied: bool
    input_bias: bool = False
    output_bias: bool = False
    inner_bias: bool = False
    normed_heads: bool = False

    @property
    def linears(self) -> tuple[Linear, ...]:
        """The linear layers of one decoder layer."""
        return (
            Linear("q_proj", self.width, self.queries, self.input_bias),
            Linear("k_proj", self.width, self.keys, self.input_bias),
            Linear("v_proj", self.width, self.keys, self.input_bias),
            Linear("o_proj", self.queries, self.width, self.output_bias),
            Linear("gate_proj", self.width, self.inner, self.inner_bias),
            Linear("up_proj", self.width, self.inner, self.inner_bias),
            Linear("down_proj", self.inner, self.width, self.inner_bias),
        )

    @property
    def embedding(self) -> int:
        return self.vocabulary * self.width

    @property
    def layer_products(self) -> int:
        """Weights of the linear layers of all decoder layers: each costs a multiplication and an addition a token."""
        return self.layers * sum(linear.weights for linear in self.linears)

    @property
    def parameters(self) -> int:
        biases = sum(linear.outputs for linear in self.linears if linear.bias)
        norms = 2 * self.width + (2 * self.queries // self.heads if self.normed_heads else 0)
        embeddings = self.embedding * (1 if self.tied else 2)
        return self.layer_products + self.layers * (biases + norms) + embeddings + self.width

    def adapters(self, rank: int, targets: tuple[str, ...]) -> int:
        """Parameters of LoRA adapters of a rank on the targets ("all-linear": every linear layer but the output layer)."""
        wanted = [linear for linear in self.linears if "all-linear" in targets or linear.name in targets]
        return self.layers * rank * sum(linear.inputs + linear.outputs for linear in wanted)

    def cache(self, bytes_each: int) -> int:
        """Bytes of the keys and values of one token."""
        return 2 * self.layers * self.keys * bytes_each


def shape_of(config: Mapping[str, Any]) -> ModelShape:
    """The shape that a config.json describes. Raises ModelError for what is no decoder of Llama's kind."""
    config = {**config, **config.get("text_config", {})}
    kind = str(config.get("model_type", ""))
    if any(config.get(name) for name in EXPERTS):
        raise ModelError(f'model type "{kind}" has experts, which scdpo plan cannot count; plan a dense model of its size')
    try:
        width, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        head = int(config.get("head_dim") or width // heads)
        bias = bool(config.get("attention_bias", False))
        return ModelShape(
            kind,
            int(config["num_hidden_layers"]),
            width,
            int(config["intermediate_size"]),
            heads,
            heads * head,
            int(config.get("num_key_value_heads") or heads) * head,
            int(config["vocab_size"]),
            bool(config.get("tie_word_embeddings", False)),
            input_bias=kind == "qwen2" or bias or (kind == "internlm2" and bool(config.get("bias", False))),
            output_bias=kind not in ("qwen2", "mistral")
            and (bias or (kind == "internlm2" and bool(config.get("bias", False)))),
            inner_bias=kind in ("llama", "smollm3") and bool(config.get("mlp_bias", False)),
            normed_heads=kind == "qwen3",
        )
    except KeyError as error:
        raise ModelError(
            f'model type "{kind}": its config has no {error}; scdpo plan counts decoders of Llama\'s kind'
        ) from error
