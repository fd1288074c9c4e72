"""`scdpo fields [WORD]`: every field of a recipe with its meaning and its default, as a recipe has it."""

from __future__ import annotations

import textwrap
from typing import Annotated

from rich.console import Console

from scdpo.cli.options import Shown
from scdpo.errors import UsageError
from scdpo.run.recipe import described_fields
from scdpo.settings import Settings

WIDTH = 118


class ListFields(Settings):
    """List the recipe fields with their defaults and meaning: all, or those of a section, as in `scdpo fields training`.

    A line can be pasted into a recipe as it is. On the command line the same field is --section.field value, with quotes for
    the shell where it is a list: --run.arms '["dpo", "scdpo"]'.
    """

    word: Annotated[str | None, Shown("WORD", is_positional=True)] = None
    """Only fields that begin with this, as training or training.lora; else those that have it in their name."""


def list_fields(options: ListFields, console: Console) -> None:
    """Print the fields. Raises UsageError where none is named so."""
    word = options.word or ""
    fields = list(described_fields())
    chosen = [field for field in fields if field.path.startswith(word)] or [field for field in fields if word in field.path]
    if not chosen:
        sections = dict.fromkeys(field.path.partition(".")[0] for field in fields)
        raise UsageError(f'no field has "{word}" in its name; the sections are: {", ".join(sections)}')
    for field in chosen:
        print(textwrap.fill(field.meaning, WIDTH, initial_indent="# ", subsequent_indent="# "))
        print(f"{field.path} = {field.default}")
