"""`scdpo merge`: adapters and their base model as one plain model."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from scdpo.errors import ModelError
from scdpo.training.adapters import base_of, is_adapter, merged
from scdpo.training.model_files import load_model, load_tokenizer, save_model


def merge_adapter(adapter: str, out: str, base: str | None, trust_remote_code: bool, console: Console) -> None:
    """Write the model of `base` (default: as the adapters recorded it) with the adapters' weights added, to the folder `out`.

    Raises ModelError where the folder holds no adapters, `out` is taken, or the base is missing or another model.
    """
    source, target = Path(adapter).expanduser(), Path(out).expanduser()
    if not is_adapter(source):
        raise ModelError(f"{adapter} holds no adapters (adapter_config.json); a model trained whole needs no merging")
    if target.exists():
        raise ModelError(f"{out} is there already; give a new folder with --out")
    origin = base or base_of(source)
    with console.status(f"adding {adapter} to {origin}"):
        model = merged(load_model(origin, trust_remote_code=trust_remote_code), source)
        card = f"---\nlibrary_name: transformers\n---\n# {target.name}\n\nAdapters of `{source.name}` merged into their base.\n"
        save_model(model, load_tokenizer(source, trust_remote_code), target, card)
    console.print(f"merged model: {out}")
