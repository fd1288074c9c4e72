"""`scdpo check RECIPE`: what would be refused, and what is worth a look, before anything is spent."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from rich.console import Console
from rich.text import Text

from scdpo.cli.options import Fields, Shown
from scdpo.errors import RecipeError
from scdpo.settings import Settings


class Check(Settings):
    """Check a recipe as a run of it is checked when it begins: packages, servers, isolation, the model's context and template,
    and every record of the problems by file and line. No weights are loaded, nothing is written.

    Recipe fields are set as --section.field value. See docs/problems.md.
    """

    recipe: Annotated[str, Shown(is_positional=True)]
    """A packaged recipe or a TOML file."""
    fields: Fields = Field(default_factory=dict)
    """Fields of the recipe."""


def check(options: Check, console: Console) -> None:
    """Print the findings. Raises RecipeError where a run would be refused."""
    from scdpo.run.checks.check import check_recipe
    from scdpo.run.checks.machine import isolation
    from scdpo.run.checks.models import unfetched
    from scdpo.run.recipe import load_recipe

    recipe = load_recipe(options.recipe, options.fields)
    findings, _ = check_recipe(recipe, fetches=False)
    findings = sorted([*isolation(recipe), *findings, *unfetched(recipe)], key=lambda finding: not finding.refused)
    for finding in findings:
        console.print(Text("refused  " if finding.refused else "note     ", "red" if finding.refused else "yellow"), end="")
        console.print(str(finding), markup=False)
    if refused := sum(finding.refused for finding in findings):
        raise RecipeError(f"a run of {options.recipe} would be refused for {refused} of these; mend them, and check again")
    console.print(f"nothing is refused; next: scdpo run {options.recipe}", markup=False)
