"""The base of every section of a recipe: frozen, typed, and refusing fields that it does not know."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Each room defines its own section; pipeline/recipe puts them together."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
