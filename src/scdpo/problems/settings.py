"""What can be set about the problems of a run."""

from __future__ import annotations

from pydantic import Field

from scdpo.settings import Settings


class ProblemSettings(Settings):
    """Where problems come from and how many each purpose gets; no problem serves two purposes."""

    source: str = "stories"
    """stories, stories_code, gsm_symbolic, gsm_symbolic_code, a published set (gsm8k, math, svamp, ape210k, cmath, mgsm_zh)
    alone for the hub or as NAME:PATH for a local copy, or the path of a JSON-lines file of your own (docs/problems.md)."""
    test_source: str = ""
    """Where the test problems come from, named like source; empty: the source's own test split, else a part of it."""
    seed: int = Field(0, ge=0)
    """Of the generated problems; apart from the run's seed, so that runs can differ on the same problems."""
    sft: int = Field(1000, ge=0)
    """Problems with worked solutions, for SFT."""
    pairs: int = Field(1000, ge=1)
    """Fresh problems, for preference pairs."""
    dev: int = Field(500, ge=0)
    """Problems for choosing hyper-parameters."""
    test: int = Field(2000, ge=1)
    """Held-out problems, for the result."""
