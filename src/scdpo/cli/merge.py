"""`scdpo merge`: adapters and their base model as one plain model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.console import Console

from scdpo.cli.options import Shown
from scdpo.errors import ModelError
from scdpo.settings import Settings


class Merge(Settings):
    """Add LoRA adapters into their base model, as one plain model. See docs/training.md."""

    adapter: Annotated[str, Shown(is_positional=True)]
    """A folder with adapters, as models/scdpo of a run with training.lora.rank."""
    out: Annotated[str, Shown("DIR")]
    """Where the merged model goes; a new folder."""
    base: Annotated[str | None, Shown("MODEL")] = None
    """Folder or hub name of the base (default: as the adapters recorded it)."""
    trust_remote_code: bool = False
    """Run the modelling code that comes with the base."""


def merge(options: Merge, console: Console) -> None:
    """Write the model of the base with the adapters' weights added.

    Raises ModelError where the folder holds no adapters, `out` is taken, or the base is missing or another model.
    """
    from scdpo.training.adapters import base_of, is_adapter, merged
    from scdpo.training.model_files import load_model, load_tokenizer, save_model

    adapter, out, trust_remote_code = options.adapter, options.out, options.trust_remote_code
    source, target = Path(adapter).expanduser(), Path(out).expanduser()
    if not is_adapter(source):
        raise ModelError(f"{adapter} holds no adapters (adapter_config.json); a model trained whole needs no merging")
    if target.exists():
        raise ModelError(f"{out} is there already; give a new folder with --out")
    origin = options.base or base_of(source)
    with console.status(f"adding {adapter} to {origin}"):
        model = merged(load_model(origin, trust_remote_code=trust_remote_code), source)
        card = f"---\nlibrary_name: transformers\n---\n# {target.name}\n\nAdapters of `{source.name}` merged into their base.\n"
        save_model(model, load_tokenizer(source, trust_remote_code), target, card)
    console.print(f"merged model: {out}")
