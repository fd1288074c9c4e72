"""Where the config of a recipe's model comes from, without its weights. Knows no numbers that follow from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scdpo.errors import ModelError
from scdpo.planning.shape import ModelShape, shape_of
from scdpo.training.known_configs import CONFIGS
from scdpo.training.packaged_models import model_path
from scdpo.training.settings import ModelSettings


def model_shape(settings: ModelSettings, vocabulary: int, run: Path | None = None) -> tuple[ModelShape, str]:
    """The shape of the model that a recipe fine-tunes, and where its config was found.

    vocabulary: of a new model; run: a run directory, whose fine-tuned model knows best. Raises ModelError.
    """
    made = run / "models" / "sft" / "config.json" if run else None
    if made and made.is_file():
        return shape_of(_read(made)), "the run's models/sft"
    if not settings.path:
        return new_shape(settings, vocabulary), "a new model"
    config, place = find_config(settings.path)
    return shape_of(config), place


def new_shape(settings: ModelSettings, vocabulary: int) -> ModelShape:
    """The Llama from scratch (training/scratch.py) that has a tokenizer of `vocabulary` tokens."""
    width = settings.width
    return ModelShape("llama", settings.layers, width, settings.feed_forward, settings.heads, width, width, vocabulary, True)


def find_config(path: str) -> tuple[Mapping[str, Any], str]:
    """A model's config by folder, file, package, the hub's cache or the published ones. Raises ModelError."""
    local = Path(model_path(path)).expanduser()
    if local.suffix == ".gguf" and local.is_file():
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(str(local.parent), gguf_file=local.name).to_dict(), local.name
    if (local / "adapter_config.json").is_file():
        from scdpo.training.adapters import base_of

        return find_config(str(base_of(local)))
    if (local / "config.json").is_file():
        return _read(local / "config.json"), str(local)
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(path, "config.json") if path.count("/") == 1 and not local.exists() else None
    if isinstance(cached, str):
        return _read(Path(cached)), "the hub's cache"
    if path in CONFIGS:
        return CONFIGS[path], "its published config"
    raise ModelError(
        f'no config of "{path}": not a folder, not in the hub\'s cache, none of the packaged ones; '
        "download its config.json and give that folder as model.path"
    )


def _read(file: Path) -> Mapping[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {file}: {error}") from error
