"""The options of a command from its settings class, which says name, type, bounds, default and meaning of each once.

A field is an option `--its-name`; its docstring is the help. What a type does not say, `Shown` says.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError
from pydantic.fields import FieldInfo

from scdpo.errors import UsageError

FIELDS = "fields"
"""The field of a class that takes the fields of a recipe, --section.field value."""
OptionsT = TypeVar("OptionsT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Shown:
    """How a field stands on the command line. choices: where these are known only when the program runs."""

    metavar: str | None = None
    is_positional: bool = False
    choices: tuple[str, ...] = ()


OutFile = Annotated[str | None, Shown("FILE")]
JsonFile = Annotated[str | None, Shown("FILE"), Field(alias="json")]  # pydantic has a method of this name
Fields = dict[str, str]


def add_options(parser: argparse.ArgumentParser, options: type[BaseModel]) -> None:
    """Give a command the options of its class."""
    for name, field in options.model_fields.items():
        if name == FIELDS:
            continue
        shown = next((each for each in field.metadata if isinstance(each, Shown)), Shown())
        name = field.alias or name
        if shown.is_positional:
            parser.add_argument(name, **_reading(field, shown) | ({} if field.is_required() else {"nargs": "?"}))
        else:
            required = {"required": field.is_required()}
            parser.add_argument(f"--{name.replace('_', '-')}", **_reading(field, shown) | required)


def _reading(field: FieldInfo, shown: Shown) -> dict[str, Any]:
    """What argparse is to know of a field."""
    kind, is_list = _kind(field.annotation)
    default = None if field.is_required() else field.default
    help = _as_phrase(field.description or "")
    if kind is bool:
        return {"action": "store_true", "help": help}
    if default not in (None, "", ()) and "default: " not in help:
        text = f"default: {' '.join(map(str, default)) if is_list else default}"
        help = f"{help[:-1]}; {text})" if help.endswith(")") else f"{help} ({text})"
    choices = shown.choices or (get_args(kind) if get_origin(kind) is Literal else ())
    metavar = shown.metavar or ("NAME" if is_list and not choices else None)
    reading = {"default": default, "help": help, "metavar": metavar, "choices": choices or None}
    if kind in (int, float):
        reading |= {"type": kind, "metavar": shown.metavar or "N"}
    return reading | ({"nargs": "+"} if is_list else {})


def _as_phrase(text: str) -> str:
    """A sentence as argparse writes its own helps: without a capital, unless its first word keeps it, and without a stop."""
    text = " ".join(text.split()).removesuffix(".").replace("%", "%%")
    first = text.partition(" ")[0]
    return text[:1].lower() + text[1:] if first[1:] == first[1:].lower() else text


def _kind(annotation: Any) -> tuple[Any, bool]:
    """(the type of a value, whether there may be several): int | None -> (int, False), tuple[str, ...] -> (str, True)."""
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (part for part in get_args(annotation) if part is not NoneType)
    return (get_args(annotation)[0], True) if get_origin(annotation) is tuple else (annotation, False)


def read_options(known: argparse.Namespace, options: type[OptionsT], fields: Mapping[str, str]) -> OptionsT:
    """What was typed, as the command's class. fields: of a recipe. Raises UsageError for a value out of bounds."""
    names = {name: field.alias or name for name, field in options.model_fields.items()}
    typed = {name: getattr(known, name) for own, name in names.items() if own != FIELDS}
    try:
        return options.model_validate(typed | ({FIELDS: dict(fields)} if FIELDS in names else {}))
    except ValidationError as error:
        found = error.errors()[0]
        option = str(found["loc"][0]).replace("_", "-")
        raise UsageError(f"--{option}: {found['msg'][0].lower()}{found['msg'][1:]}, but it is {found['input']!r}") from error
