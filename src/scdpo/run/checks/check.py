"""Everything that can be known of a recipe before anything is spent on it."""

from __future__ import annotations

from collections.abc import Sequence

from scdpo.errors import RecipeError, ScdpoError
from scdpo.run.checks.data import data_findings
from scdpo.run.checks.finding import Finding
from scdpo.run.checks.machine import machine_findings
from scdpo.run.checks.models import model_findings, plain_chat, unusable_model
from scdpo.run.material import Material, read_material
from scdpo.run.recipe import Recipe


def check_recipe(recipe: Recipe, fetches: bool = True) -> tuple[list[Finding], Material | ScdpoError]:
    """What is found, refusals first, and the problems as a run of the recipe takes them, or why it cannot.

    fetches: see read_material."""
    findings = [*machine_findings(recipe), *model_findings(recipe), *data_findings(recipe)]
    material: Material | ScdpoError
    try:
        material = read_material(recipe, fetches)
        findings += plain_chat(recipe, material.tokenizer)
    except ScdpoError as error:
        material = error
        findings += [Finding("", str(error), refused=True), *unusable_model(recipe)]  # the model is read after the problems
    return sorted(dict.fromkeys(findings), key=lambda each: not each.refused), material


def refuse(findings: Sequence[Finding], material: Material | ScdpoError) -> Material:
    """The material of a recipe that nothing is refused of. Raises the one error, or a RecipeError with all refusals."""
    refused = [str(each) for each in findings if each.refused]
    if isinstance(material, ScdpoError) and len(refused) == 1:
        raise material
    if refused or isinstance(material, ScdpoError):
        raise RecipeError("\n".join(refused))
    return material
