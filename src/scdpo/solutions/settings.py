"""What can be set about the form of solutions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from scdpo.settings import Settings
from scdpo.solutions.prompting import Chat
from scdpo.solutions.splitting import StepFormat


class PromptSettings(Settings):
    """What the model sees before a solution."""

    template: str = ""
    """The prompt, with {question} where the question belongs; empty: the one of the problem source (docs/problems.md)."""
    special_tokens: tuple[str, ...] = ()
    """Marks of the template that become tokens of their own, learned in SFT, where the tokenizer does not have them."""
    chat: bool = False
    """The template is what the user says, and the tokenizer's own chat template writes the turns (docs/prompts.md)."""
    system: str = ""
    """With chat: the system message; empty: none of ours."""
    answer_start: str = ""
    """With chat: how each answer begins, given after the assistant's header and not trained on."""
    chat_options: dict[str, Any] = Field(default_factory=dict)
    """With chat: what the chat template itself takes, as enable_thinking = false."""

    def misfits(self, path: str = "") -> Iterator[str]:
        if self.template and "{question}" not in self.template:
            yield f'{path}.template has no "{{question}}"; put it where the question belongs'
        unused = [name for name in ("system", "answer_start", "chat_options") if getattr(self, name)]
        if unused and not self.chat:
            yield f"{path}.{unused[0]} is for chat prompts; set {path}.chat = true, or write it into {path}.template"

    @property
    def as_chat(self) -> Chat | None:
        """How the chat template is to be used; None for a plain prompt."""
        return Chat(self.system, self.answer_start, self.chat_options) if self.chat else None


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
