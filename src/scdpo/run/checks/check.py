"""Everything that can be known of a recipe before anything is spent on it."""

from __future__ import annotations

from collections.abc import Sequence

from scdpo.errors import RecipeError, ScdpoError
from scdpo.run.checks.data import data_findings
from scdpo.run.checks.finding import Finding
from scdpo.run.checks.machine import machine_findings
from scdpo.run.checks.models import model_findings, plain_chat
from scdpo.run.material import Material, read_material
from scdpo.run.recipe import Recipe


def check_recipe(recipe: Recipe) -> tuple[list[Finding], Material | ScdpoError]:
    """What is found, refusals first, and the problems as a run of the recipe takes them, or why it cannot."""
    findings = [*machine_findings(recipe), *attempt(recipe)]
    material: Material | ScdpoError
    try:
        material = read_material(recipe)
        findings += plain_chat(recipe, material.tokenizer)
    except ScdpoError as error:
        material = error
        findings.append(Finding("", str(error), refused=True))
    return sorted(dict.fromkeys(findings), key=lambda each: not each.refused), material


def attempt(recipe: Recipe) -> list[Finding]:
    """The findings of model and data; a source that cannot be read at all is told where the problems are read."""
    findings: list[Finding] = []
    for look in (model_findings, data_findings):
        try:
            findings += look(recipe)
        except ScdpoError:
            continue
    return findings


def refuse(findings: Sequence[Finding], material: Material | ScdpoError) -> Material:
    """The material of a recipe that nothing is refused of. Raises the one error, or a RecipeError with all refusals."""
    refused = [str(each) for each in findings if each.refused]
    if isinstance(material, ScdpoError) and len(refused) == 1:
        raise material
    if refused or isinstance(material, ScdpoError):
        raise RecipeError("\n".join(refused))
    return material
