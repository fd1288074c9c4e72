"""What the manifest says of the machine, the packages and the models of a run."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from typing import Any

from scdpo.cores import usable_cores
from scdpo.run.directory import RunDirectory, round_name

PACKAGES = (
    "scdpo",
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "bitsandbytes",
    "tokenizers",
    "safetensors",
    "numpy",
    "pydantic",
    "reasoning-gym",
    "math-verify",
    "latex2sympy2_extended",
    "sympy",
    "scipy",
    "landlockpy",
    "ray",
    "seccompy",
)


def describe_machine(run: RunDirectory, workers: Any, layers: Sequence[str]) -> dict[str, Any]:
    """Facts for the manifest: package versions, machine, fingerprints of the models that are there. workers: how many, or what
    there is of a cluster; layers: of the sandbox, as far as they are known."""
    from scdpo.training.model_files import fingerprint

    models = {
        round_name(folder.name, current.number): folder
        for current in run.rounds
        for folder in sorted((current.path / "models").glob("*"))
        if folder.is_dir() and "." not in folder.name
    }
    return {
        "packages": versions(),
        "machine": {
            "python": platform.python_version(),
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": usable_cores(),
            "workers": workers,
        },
        "seed": run.recipe.run.seed,
        "sandbox_layers": list(layers) or run.manifest().get("sandbox_layers", []),
        "fingerprints": {name: fingerprint(folder) for name, folder in models.items()},
    }


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """The installed versions of the packages that a run depends on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
