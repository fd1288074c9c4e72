"""What can be set about the problems of a run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from scdpo.settings import Settings

Count = Annotated[int, Field(ge=0)] | Literal["all"]
"""So many problems, or all that are left."""
Some = Annotated[int, Field(ge=1)] | Literal["all"]
Source = Annotated[str, Field(min_length=1)]
Sources = str | tuple[Source, ...]
"""One source, or several."""


def each_source(sources: Sources) -> tuple[str, ...]:
    """The sources that a field names."""
    named = (sources,) if isinstance(sources, str) else sources
    return tuple(source for source in named if source)


class ProblemSettings(Settings):
    """Where problems come from and how many each purpose gets; no problem serves two purposes."""

    source: Source | Annotated[tuple[Source, ...], Field(min_length=1)] = "stories"
    """stories, stories_code, gsm_symbolic, gsm_symbolic_code, a published set (gsm8k, math, svamp, ape210k, cmath, mgsm_zh)
    alone for the hub or as NAME:PATH for a local copy, the path of a JSON-lines file of your own, or a list of such sets and
    files, from which problems are drawn together (docs/problems.md)."""
    sft_source: Sources = ""
    """Where the worked solutions for SFT come from, named like source; also metamath and messages, data that was made to
    fine-tune on. Empty: from source."""
    test_source: Sources = ""
    """Where the test problems come from, named like source (their test splits, else all of them); of several each is reported.
    Empty: the sources' own test splits, else a part of them."""
    seed: int = Field(0, ge=0)
    """The seed of generated problems, separate from the run's, so that runs can differ on the same problems."""
    sft: Count = 1000
    """Problems with worked solutions, for SFT; "all": as many as are left."""
    pairs: Some = 1000
    """Fresh problems, for preference pairs; "all": as many as are left."""
    dev: Count = 500
    """Problems for choosing hyper-parameters."""
    test: Some = 2000
    """Held-out problems, for the result: the most of each test set."""
