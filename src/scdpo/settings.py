"""The base of every section of a recipe: frozen, typed, and refusing fields that it does not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError


class Settings(BaseModel):
    """Each room defines its own section; run/recipe puts them together."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def misfits(self, path: str = "") -> Iterator[str]:
        """Values that are right alone and wrong together, each with the cure: of the sections in this one. A section that
        has such values of its own overrides this. path: the section's own, for the fields' names."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Settings):
                yield from value.misfits(f"{path}.{name}".lstrip("."))

    @field_validator("*", mode="before")
    @classmethod
    def refuse_other_types(cls, value: Any, info: ValidationInfo) -> Any:
        """A number is written as one: neither `true` nor `"1e-5"` is taken for it. The one value of a list may
        stand without brackets."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        if get_origin(annotation) is tuple and isinstance(value, (str, int, float)):
            return (value,)
        if annotation in (int, float) and isinstance(value, (bool, str)):
            raise PydanticCustomError("number_type", "Input should be a valid number")
        return value
