"""The commits of the hub that a run is made of: a recipe's names and revisions, each with the commit that it got.

The run's recipe names the commits, so that it gives the same again anywhere; its manifest ("revisions") says what was asked
for, so that the same wish continues the run, wherever a branch may have moved to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from scdpo import hub
from scdpo.errors import RecipeError
from scdpo.problems.records import download
from scdpo.problems.settings import Sources
from scdpo.problems.source import pin_source
from scdpo.run.recipe import Recipe
from scdpo.training.model_files import model_folder
from scdpo.training.packaged_models import PACKAGES

SOURCES = ("source", "sft_source", "test_source")
CommitOf = Callable[[hub.HubName], str | None]
Pins = dict[str, str]
"""NAME@REVISION of a model, datasets/NAME@REVISION of a data set -> commit."""


def resolve(recipe: Recipe) -> tuple[Recipe, Pins]:
    """The recipe with commits in place of what it asks of the hub, fetched, and these commits.

    Raises RecipeError, ProblemError, ModelError.
    """
    pins: Pins = {}

    def of_model(asked: hub.HubName) -> str:
        return pins.setdefault(str(asked), model_folder(str(asked)).name)

    def of_data(asked: hub.HubName) -> str:
        return pins.setdefault(f"datasets/{asked}", download(asked).name)

    return _pinned(recipe, of_model, of_data), pins


def keep(recipe: Recipe, pins: Mapping[str, str]) -> Recipe:
    """The recipe with the commits that a run got for the same wishes; other wishes stay as they are. Asks nobody."""

    def kept(key: str, asked: hub.HubName) -> str | None:
        return asked.revision if asked.is_pinned else pins.get(key)

    return _pinned(recipe, lambda asked: kept(str(asked), asked), lambda asked: kept(f"datasets/{asked}", asked))


def _pinned(recipe: Recipe, of_model: CommitOf, of_data: CommitOf) -> Recipe:
    sources = {}
    for field in SOURCES:
        asked: Sources = getattr(recipe.problems, field)
        sources[field] = (
            pin_source(asked, of_data) if isinstance(asked, str) else tuple(pin_source(each, of_data) for each in asked)
        )
    problems, model = recipe.problems.model_copy(update=sources), recipe.model
    named = model_on_hub(recipe)
    commit = of_model(named) if named else None
    if commit:
        model = model.model_copy(update={"revision": commit})
    return recipe.model_copy(update={"problems": problems, "model": model})


def model_on_hub(recipe: Recipe) -> hub.HubName | None:
    """The model of the hub that the recipe names; None for any other. Raises RecipeError for a revision of what has none."""
    path, revision = recipe.model.path, recipe.model.revision
    local = path in PACKAGES or Path(path).expanduser().exists()
    asked = None if local else hub.parse(path)
    if asked is None and revision:
        raise RecipeError(f'model.revision is "{revision}" and model.path, "{path}", is not a name on the hub; leave it out')
    if asked and asked.name != path:
        raise RecipeError(f'model.path is "{path}"; set model.path = "{asked.name}" and model.revision = "{asked.revision}"')
    return hub.HubName(path, revision or asked.revision) if asked else None
