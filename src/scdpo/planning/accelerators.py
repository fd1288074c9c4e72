"""Accelerators by name: published peaks of dense bfloat16 products, memory and its bandwidth. Knows no model."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from scdpo.errors import RecipeError

GIB = 2**30
RESERVED = 0.08
"""The share of an accelerator's memory that is left to its driver, libraries and fragments."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """tflops: dense bfloat16 products a second, in 10^12 (vendor's figure); memory_gib; bandwidth: GB a second."""

    name: str
    tflops: float
    memory_gib: float
    bandwidth: float

    @property
    def usable(self) -> int:
        """Bytes for models and what they compute."""
        return int(self.memory_gib * GIB * (1 - RESERVED))


ACCELERATORS = (
    Accelerator("A800-80GB", 312.0, 80, 2039),
    Accelerator("A100-40GB", 312.0, 40, 1555),
    Accelerator("A100-80GB", 312.0, 80, 2039),
    Accelerator("H100-80GB", 989.0, 80, 3350),
    Accelerator("H200", 989.0, 141, 4800),
    Accelerator("L40S", 362.0, 48, 864),
    Accelerator("RTX-4090", 165.0, 24, 1008),
)
SHOWN = ("A800-80GB", "H100-80GB", "L40S", "RTX-4090")
"""Those that a plan shows where none is named."""


def accelerator(name: str) -> Accelerator:
    """The accelerator of a name, in any case, blanks or dashes. Raises RecipeError."""
    plain = {_plain(each.name): each for each in ACCELERATORS}
    if _plain(name) not in plain:
        close = difflib.get_close_matches(_plain(name), plain, n=1)
        hint = f'did you mean "{plain[close[0]].name}"?' if close else f"there are: {', '.join(a.name for a in ACCELERATORS)}"
        raise RecipeError(f'do not know the accelerator "{name}"; {hint}')
    return plain[_plain(name)]


def _plain(name: str) -> str:
    return name.lower().replace("-", "").replace(" ", "").replace("_", "")
