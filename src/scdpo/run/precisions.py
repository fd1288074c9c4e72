"""The number formats that a run computes in: what precision = "auto" came to when it began, and what the command says of it.

The run's recipe names the formats, so that it goes on with them and gives the same again anywhere; its manifest
("precision") says why each was taken. Asking for "auto" again is the same wish, whatever the machine is by then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

from scdpo.precision import Choice, choose, engine_device, imitation_note, training_device
from scdpo.run.recipe import Recipe

SECTIONS = ("sft", "rft", "training", "engine")
"""The sections of a recipe that have a precision."""
OF_STAGE = {"sft": ("sft",), "train": ("rft", "training"), "report": ()}
"""The sections that a stage computes with; the engine, where it is not named here."""
T = TypeVar("T")
Formats = Mapping[str, Choice]
"""Section -> what was taken there, and why."""


def settle_precisions(recipe: Recipe) -> tuple[Recipe, Formats]:
    """The recipe with a number format wherever its precision is "auto", and these formats."""
    formats: dict[str, Choice] = {}
    for section in SECTIONS:
        if getattr(recipe, section).precision == "auto":
            formats[section] = choice_for(recipe, section)
    return with_precisions(recipe, {section: choice.taken for section, choice in formats.items()}), formats


def choice_for(recipe: Recipe, section: str) -> Choice:
    """What "auto" takes in a section, on the devices that are to compute it."""
    if section != "engine":
        return choose(training_device())
    if recipe.engine.kind == "server":
        return Choice("float32", "not used: the servers compute as they were started")
    if computes_on_ray(recipe):
        return Choice("bfloat16", "the GPUs of a Ray cluster (ray.gpus) are taken to multiply bfloat16")
    return choose(engine_device())


def computes_on_ray(recipe: Recipe) -> bool:
    """Whether the engines have GPUs of a Ray cluster, of which this machine need not have any."""
    return bool(recipe.ray.address and recipe.ray.gpus)


def keep_precisions(wanted: Recipe, run: Recipe) -> Recipe:
    """What is asked for, with the run's number formats wherever it asks for "auto"."""
    auto = [section for section in SECTIONS if getattr(wanted, section).precision == "auto"]
    return with_precisions(wanted, {section: getattr(run, section).precision for section in auto})


def with_precisions(recipe: Recipe, formats: Mapping[str, str]) -> Recipe:
    """The recipe with other number formats in some sections."""
    changed = {name: getattr(recipe, name).model_copy(update={"precision": taken}) for name, taken in formats.items()}
    return recipe.model_copy(update=changed)


def described(formats: Formats) -> dict[str, dict[str, str]]:
    """For the manifest."""
    return {section: {"taken": choice.taken, "why": choice.why} for section, choice in formats.items()}


def precision_lines(recipe: Recipe, manifest: Mapping[str, Any], stages: Collection[str]) -> Iterator[str]:
    """What a command says before these stages: what "auto" came to, and what bfloat16 costs where it is only imitated."""
    named = {section for stage in stages for section in OF_STAGE.get(stage, ("engine",))}
    used = [section for section in SECTIONS if section in named]
    recorded = manifest.get("precision", {})
    taken = {section: (recorded[section]["taken"], recorded[section]["why"]) for section in used if section in recorded}
    for (precision, why), sections in grouped(taken).items():
        yield f'precision "auto" of {sections}: {precision} from the beginning of the run on; {why}'
    for device, sections in grouped({section: half_device(recipe, section) for section in used}).items():
        if device and (note := imitation_note(device)):
            yield f'precision "bfloat16" of {sections}: {note}'


def grouped(values: Mapping[str, T]) -> dict[T, str]:
    """Each value with the names of its sections."""
    return {value: ", ".join(name for name in values if values[name] == value) for value in values.values()}


def half_device(recipe: Recipe, section: str) -> str:
    """The type of this machine's device that computes a section in bfloat16; empty where none does."""
    if getattr(recipe, section).precision != "bfloat16":
        return ""
    if section != "engine":
        return training_device()
    return "" if recipe.engine.kind == "server" or computes_on_ray(recipe) else engine_device()
