"""Trackers that also get a training's figures, through the library's own callbacks: where they write, and their ends.

Knows no figures.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path

from scdpo.errors import ModelError

PROJECT = "scdpo"
"""What trackers call the project that all trainings belong to."""


def prepare_trackers(names: Sequence[str], log: Path) -> None:
    """Let the trackers write beside `log`, where they write files. Raises ModelError where one is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ModelError(f'report_to = "{name}" needs its package; install it with pip install {name}')
    log.parent.mkdir(parents=True, exist_ok=True)
    os.environ["TENSORBOARD_LOGGING_DIR"] = str(log.parent / "tensorboard" / log.stem)
    os.environ["WANDB_DIR"] = str(log.parent)
    os.environ.setdefault("WANDB_PROJECT", PROJECT)


def end_trackers(names: Sequence[str]) -> None:
    """Close what the library's callbacks leave open, so that the next training of this process gets a run of its own."""
    if "wandb" in names:
        import wandb

        wandb.finish()
