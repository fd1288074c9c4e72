"""The shape of a recipe's model: of its config, of a run's own model, or of one from scratch. Knows no numbers that follow."""

from __future__ import annotations

from pathlib import Path

from scdpo.errors import ModelError
from scdpo.planning.shape import ModelShape, shape_of
from scdpo.training.configs import find_config, read_config
from scdpo.training.settings import ModelSettings


def model_shape(settings: ModelSettings, vocabulary: int, run: Path | None = None) -> tuple[ModelShape, str]:
    """The shape of the model that a recipe fine-tunes, and where its config was found.

    vocabulary: of a new model; run: a run directory, whose fine-tuned model knows best. Raises ModelError.
    """
    made = run / "models" / "sft" if run else None
    if made and (made / "config.json").is_file():
        return shape_of(read_config(made)), "the run's models/sft"
    if not settings.path:
        return new_shape(settings, vocabulary), "a new model"
    found = find_config(settings.place)
    if found is None:
        raise ModelError(
            f'no config of "{settings.place}": not a folder, not in the hub\'s cache, none of the packaged ones; '
            f"fetch it with hf download {settings.path} config.json, or give a folder that has it as model.path"
        )
    return shape_of(found.fields), found.place


def new_shape(settings: ModelSettings, vocabulary: int) -> ModelShape:
    """The Llama from scratch (training/scratch.py) that has a tokenizer of `vocabulary` tokens."""
    return shape_of({
        "model_type": "llama", "vocab_size": vocabulary, "hidden_size": settings.width, "num_hidden_layers": settings.layers,
        "num_attention_heads": settings.heads, "intermediate_size": settings.feed_forward, "tie_word_embeddings": True,
    })  # fmt: skip
