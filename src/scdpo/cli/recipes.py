"""`scdpo recipes` and `scdpo show recipe NAME`: the recipes that come with the package, and what one says."""

from __future__ import annotations

from typing import Annotated

from rich.console import Console

from scdpo.cli.options import Shown
from scdpo.run.recipe import packaged_recipes, recipe_text
from scdpo.settings import Settings


class Recipes(Settings):
    """List the packaged recipes, a line each. `scdpo show recipe NAME` prints one, `scdpo run NAME` runs it.

    docs/recipes.md tells where their values are from.
    """


class ShowRecipe(Settings):
    """Print a packaged recipe, with its comments: a start for your own, as in `scdpo show recipe quickstart > mine.toml`."""

    name: Annotated[str, Shown("NAME", is_positional=True)]
    """A packaged recipe (`scdpo recipes` lists them), or a TOML file."""


def list_recipes(options: Recipes, console: Console) -> None:
    """Print each recipe's name and the first line of its comment."""
    names = packaged_recipes()
    width = max(map(len, names))
    for name in names:
        print(f"{name:<{width}}  {recipe_text(name).partition(chr(10))[0].removeprefix('# ')}")


def show_recipe(options: ShowRecipe, console: Console) -> None:
    """Print the recipe as it is written. Raises RecipeError where there is none."""
    print(recipe_text(options.name), end="")
