"""Waiting for a device before a clock is read: a GPU's work runs behind the host's. Knows nothing of what is measured."""

from __future__ import annotations

from typing import Any


def wait_for(device: Any) -> None:
    """Until a device (torch's, or its name) has done what it was asked for; a processor has."""
    import torch

    if torch.device(device).type != "cpu":
        torch.accelerator.synchronize(device)
