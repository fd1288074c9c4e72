"""What can be set about the form of solutions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from scdpo.settings import Settings
from scdpo.solutions.splitting import StepFormat


class StepSettings(Settings):
    """How solutions are cut into steps."""

    format: StepFormat = "auto"
    """auto, blocks, numbered, fences, paragraphs, lines or sentences (docs/steps.md); auto looks at each solution."""


class CodeSettings(Settings):
    """Solutions with code: their format, and what drops one as noise (docs/code.md). The limits are the authors' values."""

    format: Literal["", "blocks", "fences"] = ""
    """blocks: <|text|>, <|code|>, <|execution|>, <|endofblock|>, <|endofmessage|> as special tokens; fences: ```python and
    ```output; empty: chain of thought, nothing is executed."""
    output_loss: bool = False
    """Count the tokens of outputs, which the model did not write, in the loss, as the authors' scripts do."""
    max_blocks: int = Field(24, ge=1)
    """The most pieces of text, code and output in a solution; one with more is undecided."""
    max_block_characters: int = Field(3000, ge=1)
    """The longest of these pieces; a solution with a longer one is undecided."""
