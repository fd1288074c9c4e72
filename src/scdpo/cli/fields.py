"""`scdpo fields [WORD]`: every field of a recipe with its meaning and its default, as a recipe has it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Annotated

from rich.console import Console

from scdpo.cli.options import Shown
from scdpo.errors import UsageError
from scdpo.run.recipe import DescribedField, described_fields
from scdpo.settings import Settings

WIDTH = 118


class ListFields(Settings):
    """List the recipe fields with their defaults and meaning: all, or those of a section, as in `scdpo fields training`.

    What is printed can be pasted into a recipe. On the command line the same field is --section.field value, with quotes for
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
    print(as_recipe(chosen), end="")


def as_recipe(fields: Iterable[DescribedField]) -> str:
    """The fields as TOML, by section, each below a comment with its name on the command line and its meaning."""
    sections: dict[str, list[str]] = {}
    for path, value, meaning in fields:
        section, _, name = path.rpartition(".")
        comment = textwrap.fill(f"{path}: {meaning}", WIDTH, initial_indent="# ", subsequent_indent="# ")
        sections.setdefault(section, [f"[{section}]"]).append(f"{comment}\n{name} = {value}")
    return "\n\n".join("\n".join(lines) for lines in sections.values()) + "\n"
