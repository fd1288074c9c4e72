"""What can be set about sampling and forking."""

from __future__ import annotations

from pydantic import Field

from scdpo.engines.temperature import TemperatureRamp
from scdpo.sampling.policies import ForkChoice
from scdpo.settings import Settings


class SamplingSettings(Settings):
    """Naive samples, D_naive (paper, section 3.1)."""

    trees: str = ""
    """A file that `scdpo import` wrote: its pairs are trained on, its questions are the pair problems, whatever problems.pairs
    is, and nothing is sampled or forked (docs/exchange.md)."""
    temperature: float = Field(1.0, gt=0)
    """The temperature of naive samples."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Naive samples and continuations are drawn from the likeliest tokens that together have this probability."""
    max_samples: int = Field(100, ge=1)
    """K: the most samples of a problem, while it has not both a correct and a wrong solution."""
    max_new_tokens: int = Field(512, ge=1)
    """The most tokens of a solution; longer ones are undecided."""
    banned: tuple[str, ...] = ("error", "apolog")
    """Words that keep a correct solution from being chosen."""
    block: int = Field(500, ge=1)
    """Problems a block: the unit of work, of resuming, and of what a worker gets."""


class ForkSettings(Settings):
    """Step-controlled continuations, D_SC (paper, section 3.1)."""

    ramp: TemperatureRamp = TemperatureRamp()
    """min(start + i * increment, maximum) at the i-th generated step."""
    choice: ForkChoice = "uniform"
    """uniform: forks_per_solution of a solution's forks, drawn at random; every: all of them."""
    forks_per_solution: int = Field(1, ge=1)
    """How many forks of a preferred solution are tried, with choice uniform."""
    attempts: int = Field(100, ge=1)
    """The most continuations from one fork, while none is wrong."""
    further_samples: int = Field(100, ge=1)
    """The most further naive samples of a problem, for the data-equal arm's extra pairs."""
