"""The processes of a launch (`accelerate launch`), and this one among them. Knows nothing of what they compute."""

from __future__ import annotations

from typing import Any


def launched() -> Any:
    """accelerate's PartialState: this process' number, device and barriers; a process alone where nothing was launched.

    Without an accelerator the processes meet over gloo, which accelerate sees to only when told that they compute on the
    processor: else each would believe that it is alone.
    """
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.accelerator.is_available())
