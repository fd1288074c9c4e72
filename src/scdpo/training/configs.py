"""A model's config without its weights: where it is on this machine, or what was published. Asks no network.

Knows folders, files, packages and the hub's cache; knows no numbers that follow from a config.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scdpo import hub
from scdpo.errors import HubError, ModelError, first_line
from scdpo.training.adapters import base_of, is_adapter
from scdpo.training.known_configs import CONFIGS
from scdpo.training.packaged_models import model_path


@dataclass(frozen=True, slots=True)
class FoundConfig:
    """A config's fields, where they were found in words, and the model's folder or GGUF file, None for published figures."""

    fields: Mapping[str, Any]
    place: str
    folder: Path | None


def find_config(path: str | Path) -> FoundConfig | None:
    """The config of a model by its folder, file, package or hub name (NAME@REVISION); None where nothing is there or known.
    An adapter's is that of its base.

    Raises ModelError for a file that cannot be read.
    """
    local = Path(model_path(path)).expanduser()
    if local.suffix == ".gguf" and local.is_file():
        return FoundConfig(_read_gguf(local), local.name, local)
    asked = None if local.exists() else hub.parse(str(path))
    try:
        folder = hub.snapshot_of(local) if local.is_dir() else _cached(asked)
    except HubError as error:
        raise ModelError(str(error)) from error
    if folder is not None and is_adapter(folder):
        return find_config(base_of(folder))
    if folder is not None and (folder / "config.json").is_file():
        return FoundConfig(read_config(folder), str(local) if local.is_dir() else "the hub's cache", folder)
    known = CONFIGS.get(asked.name) if asked else None
    return None if known is None else FoundConfig(known, "its published config", None)


def read_config(folder: Path) -> dict[str, Any]:
    """A model folder's config.json. Raises ModelError."""
    try:
        return json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {folder / 'config.json'}: {error}") from error


def _read_gguf(file: Path) -> dict[str, Any]:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(str(file.parent), gguf_file=file.name).to_dict()
    except Exception as error:  # the library raises many types for a file that it cannot read
        raise ModelError(f"cannot read {file}: {first_line(error)}") from error


def _cached(asked: hub.HubName | None) -> Path | None:
    """The folder of a hub name's config in the hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(asked.name, "config.json", revision=asked.revision) if asked else None
    return Path(found).parent if isinstance(found, str) else None
