"""Models of a published shape with random weights, made where they compute: speed and memory do not depend on what one says.

Knows configs and devices; knows no trees and no bench.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scdpo.training.known_configs import CONFIGS

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "qwen2.5-1.5b": CONFIGS["Qwen/Qwen2.5-Math-1.5B-Instruct"] | {"max_position_embeddings": 32768},
    "llama-3-8b": {
        "model_type": "llama",
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 8192,
        "rope_theta": 500000.0,
        "tie_word_embeddings": False,
    },
    "tiny": {
        "model_type": "llama",
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    },
}
"""config.json's fields by name."""


def write_shape(name: str, folder: Path) -> Path:
    """A folder with a shape's config, a tokenizer that the libraries can ask for special tokens, and no weights."""
    from scdpo.training.scratch import make_tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dict(SHAPES[name])), encoding="utf-8")
    make_tokenizer(["a b c"], context=int(SHAPES[name]["max_position_embeddings"])).save_pretrained(folder)
    return folder


def is_shape(path: str | Path) -> bool:
    """Whether a model's path is a folder with a config and without weights."""
    folder = Path(path).expanduser()
    return (folder / "config.json").is_file() and not any(folder.glob("*.safetensors"))


def model_of_shape(folder: str | Path, device: Any, dtype: str = "float32") -> Any:
    """A causal LM of the folder's config in evaluation mode, its random weights the same for the same device."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(folder))
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", dtype=getattr(torch, dtype))
    return model.eval()
