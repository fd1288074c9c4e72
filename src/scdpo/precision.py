"""Number formats of matrix products: which one a device multiplies fast, what "auto" therefore takes, and what bfloat16
costs where it is asked for and only imitated.

Knows devices and their instructions; knows no model, no recipe and no run. Imports torch only when it is asked something.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from scdpo.settings import Settings

Precision = Literal["auto", "float32", "bfloat16"]
SomeSettings = TypeVar("SomeSettings", bound=Settings)
INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16")
"""Those with which processors multiply bfloat16; the last is ARM's."""
WITHOUT = ("DEFAULT", "NO AVX", "AVX", "AVX2")
"""What torch calls the x86 processors that have none of them, and those that it was told to treat so (ATEN_CPU_CAPABILITY)."""
ROWS, WIDTH, TRIES = 128, 384, 3
"""The layer on which the two formats are timed: rows (tokens), the sides of its square matrix, and how often."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A number format, and why it was taken."""

    taken: Literal["float32", "bfloat16"]
    why: str


def training_device() -> str:
    """The type of the device that trainings of this process compute on."""
    import torch

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return accelerator.type if accelerator else "cpu"


def engine_device() -> str:
    """The type of the device that an engine in this process computes on."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def settled(settings: SomeSettings, device: str) -> SomeSettings:
    """The settings of a training or an engine, with what the device multiplies fast where their precision is "auto"."""
    if getattr(settings, "precision") != "auto":  # noqa: B009
        return settings
    return settings.model_copy(update={"precision": choose(device).taken})


def choose(device: str) -> Choice:
    """What "auto" takes on a type of device."""
    if device == "cpu":
        return _of_processor()
    import torch

    supported: Callable[..., bool] | None = getattr(getattr(torch, device, None), "is_bf16_supported", None)
    if supported is None:
        return Choice("float32", f'torch does not say whether "{device}" multiplies bfloat16')
    if supported(including_emulation=False):
        return Choice("bfloat16", "the GPU multiplies bfloat16")
    return Choice("float32", "the GPU only imitates bfloat16")


def _of_processor() -> Choice:
    import torch

    known, level = instructions(), torch.backends.cpu.get_cpu_capability()
    found = next((name for name in INSTRUCTIONS if name in known), None)
    if found is None:
        return Choice("float32", "the processor has no instructions for bfloat16")
    if found != "bf16" and level in WITHOUT:
        return Choice("float32", f"torch is held to {level}, which has no instructions for bfloat16")
    if not torch.backends.mkldnn.is_available():
        return Choice("float32", "this build of torch lacks oneDNN, which multiplies bfloat16 on processors")
    return Choice("bfloat16", f"the processor multiplies bfloat16 ({found})")


def instructions() -> Collection[str]:
    """The names of the processor's instruction sets, as torch finds them; before torch could, as Linux lists them."""
    import torch

    listed: Callable[[], Any] | None = getattr(torch.cpu, "get_capabilities", None)
    if listed is not None:
        return {name for name, has in listed().items() if has is True}
    file = Path("/proc/cpuinfo")
    return set(file.read_text(encoding="utf-8").split()) if file.is_file() else ()


def imitation_note(device: str) -> str:
    """What bfloat16 costs on a device that only imitates it, in one line; empty where it multiplies it.

    Measured in some dozens of milliseconds: the three products of a layer, one forward and two backward.
    """
    choice = choose(device)
    if choice.taken == "bfloat16":
        return ""
    half, full = layer_milliseconds(device)
    ratio = half / full
    faster = f"{ratio:.0f} times faster" if ratio >= 9.95 else f"{ratio:.1f} times faster"
    verdict = f"float32 would be {faster}" if ratio >= 1.05 else "float32 would not be faster"
    return f"{choice.why}; {verdict} (a layer's products: {half:.1f} ms in bfloat16, {full:.1f} ms in float32)"


def layer_milliseconds(device: str) -> tuple[float, float]:
    """The products of one layer, forward and backward, in bfloat16 and in float32: the fastest of some tries."""
    import torch

    formats = (torch.bfloat16, torch.float32)
    layers = [[torch.ones(*shape, dtype=d, device=device) for shape in ((ROWS, WIDTH), (WIDTH, WIDTH))] for d in formats]
    tries = [[_seconds(*layer) for layer in layers] for _ in range(TRIES)]
    half, full = (1000 * min(column) for column in zip(*tries, strict=True))
    return half, full


def _seconds(rows: Any, weights: Any) -> float:
    began = time.perf_counter()
    made = rows @ weights.T, rows @ weights, rows.T @ rows
    sum(float(product[0, 0]) for product in made)  # which waits for a GPU
    return time.perf_counter() - began
