"""The published configs of the models that packaged recipes name: what a machine without a way to the hub plans and tries by.

Facts of each model's config.json, no weights. Knows no recipe.
"""

from __future__ import annotations

from typing import Any, Literal

TokenizerKind = Literal["sentencepiece", "byte-level"]
MISTRAL_7B: dict[str, Any] = {
    "model_type": "mistral",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 32768,
    "sliding_window": 4096,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}
QWEN_25_MATH: dict[str, Any] = {
    "model_type": "qwen2",
    "num_hidden_layers": 28,
    "max_position_embeddings": 4096,
    "rope_theta": 10000.0,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "mistralai/Mistral-7B-v0.1": MISTRAL_7B,
    "meta-math/MetaMath-Mistral-7B": MISTRAL_7B | {"vocab_size": 32001},
    "internlm/internlm2-20b": {
        "model_type": "internlm2",
        "vocab_size": 92544,
        "hidden_size": 6144,
        "intermediate_size": 16384,
        "num_hidden_layers": 48,
        "num_attention_heads": 48,
        "num_key_value_heads": 8,
        "max_position_embeddings": 32768,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": False,
    },
    "Qwen/Qwen2.5-Math-1.5B-Instruct": QWEN_25_MATH
    | {
        "vocab_size": 151936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
    },
    "Qwen/Qwen2.5-Math-7B-Instruct": QWEN_25_MATH
    | {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
    },
}
TOKENIZERS: dict[str, TokenizerKind] = {
    "mistral": "sentencepiece",
    "internlm2": "sentencepiece",
    "qwen2": "byte-level",
    "llama": "byte-level",
}
"""What kind of tokenizer models of a type have, where no file tells."""
