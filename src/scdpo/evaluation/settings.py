"""What can be set about evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from scdpo.settings import Settings


class EvaluationSettings(Settings):
    """Greedy accuracy on problems that nothing was trained on."""

    split: Literal["test", "dev"] = "test"
    """dev: choose hyper-parameters there; test: report there, once."""
    max_new_tokens: int = Field(512, ge=1)
    """The most tokens of a solution."""
    block: int = Field(500, ge=1)
    """Problems a block."""
