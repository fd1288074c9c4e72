"""What can be set about running code."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from scdpo.settings import Settings


class SandboxSettings(Settings):
    """Limits of the sessions that run solutions' code (docs/sandbox.md)."""

    seconds: float = Field(6.0, gt=0)
    """Wall clock of a block; then it is interrupted, and a second later its session is killed."""
    memory_mb: int = Field(512, ge=16)
    """Address space of a session above what all of them share."""
    code_characters: int = Field(20_000, ge=1, le=20_000)
    """The longest block that is run."""
    output_characters: int = Field(4000, ge=1, le=20_000)
    """The most output of a block; the rest is cut, with a note."""
    sessions: int = Field(512, ge=1)
    """The most sessions alive at once, each with some megabytes of its own."""
    jobs: int = Field(0, ge=0)
    """Blocks that run at once; 0: as many as there are cores that this process may use."""
    echo: Literal["repr", "pretty", "none"] = "repr"
    """How a block's last expression is shown: by repr, by IPython's pretty printer (for models that learned from notebooks;
    pip install "scdpo[pretty]"), or not at all."""
    traceback: Literal["line", "full"] = "line"
    """What an exception shows: its last line, or the whole traceback."""
    modules: tuple[str, ...] = ()
    """Further packages that code may import; numpy, scipy, sympy, mpmath and the standard library are always there."""
    bubblewrap: Literal["auto", "off"] = "auto"
    """auto: the sessions also live inside bubblewrap, where that is installed and works."""
    unsafe_no_isolation: bool = False
    """Run code even where a layer of isolation is missing; recorded in the manifest."""
