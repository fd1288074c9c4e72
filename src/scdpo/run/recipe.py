"""Recipes: the whole of what a run does, as TOML, every field of it overridable on the command line.

Knows the rooms' settings; knows no run directory.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple

import tomli_w
from pydantic import BaseModel, Field, ValidationError

from scdpo.credit.settings import CreditSettings
from scdpo.engines.settings import EngineSettings
from scdpo.errors import RecipeError
from scdpo.evaluation.settings import EvaluationSettings, TemperatureSettings
from scdpo.problems.settings import ProblemSettings, each_source
from scdpo.run.ray_settings import RaySettings
from scdpo.sampling.arms import ARMS, Arm
from scdpo.sampling.settings import ForkSettings, SamplingSettings
from scdpo.sandbox.settings import SandboxSettings
from scdpo.settings import Settings
from scdpo.solutions.settings import CodeSettings, PromptSettings, StepSettings
from scdpo.training.settings import ModelSettings, OptimizerSettings, PreferenceSettings


class RunSettings(Settings):
    """The run as a whole."""

    seed: int = Field(42, ge=0)
    """Every random choice of the run derives from it."""
    preset: Literal["", "paper-scripts"] = ""
    """paper-scripts: fields that are not set take the values of the authors' released scripts (docs/code.md)."""
    rounds: int = Field(1, ge=1)
    """How often to sample, fork and train: each round after the first goes on from the scdpo model of the one before."""
    reference: Literal["moved", "kept"] = "moved"
    """The reference of later rounds. moved: the model that the round starts from; kept: the SFT model."""
    arms: tuple[Arm, ...] = ARMS
    """What is trained in the first round; without some of them the comparisons with these are left out. Always with scdpo."""

    def misfits(self, path: str = "") -> Iterator[str]:
        if self.reference == "kept" and self.rounds == 1:
            yield (
                f'{path}.reference = "kept" says what later rounds refer to and {path}.rounds is 1; raise it, or leave '
                f"{path}.reference out"
            )
        if "scdpo" not in self.arms:
            yield f'{path}.arms has no "scdpo", which every run trains; add it'


class Recipe(Settings):
    """All sections of a recipe."""

    run: RunSettings = RunSettings()
    problems: ProblemSettings = ProblemSettings()
    prompt: PromptSettings = PromptSettings()
    steps: StepSettings = StepSettings()
    code: CodeSettings = CodeSettings()
    sandbox: SandboxSettings = SandboxSettings()
    model: ModelSettings = ModelSettings()
    sft: OptimizerSettings = OptimizerSettings()
    engine: EngineSettings = EngineSettings()
    sampling: SamplingSettings = SamplingSettings()
    fork: ForkSettings = ForkSettings()
    training: PreferenceSettings = PreferenceSettings()
    rft: OptimizerSettings = OptimizerSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    credit: CreditSettings = CreditSettings()
    temperature: TemperatureSettings = TemperatureSettings()
    ray: RaySettings = RaySettings()

    def misfits(self, path: str = "") -> Iterator[str]:
        yield from super().misfits(path)
        yield from self._contexts()
        yield from self._engines()
        yield from self._given_trees()
        if self.sft.lora.quantize and not self.model.path:
            yield "sft.lora.quantize needs a trained model in model.path"
        if self.prompt.chat and not self.model.path:
            yield "prompt.chat needs a model with a chat template, and this one is made from scratch; set model.path"
        untrained = set(self.temperature.models) - {"sft", *self.run.arms}
        if self.temperature.problems and untrained:
            yield f"temperature.models has {', '.join(sorted(untrained))}, not in run.arms; change one of them"
        if self.code.format and self.steps.format not in ("auto", self.code.format):
            yield f'steps.format is "{self.steps.format}" and code.format "{self.code.format}"; leave steps.format out'
        coded = set(each_source(self.problems.source)) & {"stories_code", "gsm_symbolic_code"}
        if coded and self.code.format != "blocks":
            yield f'problems.source "{coded.pop()}" is written in marked blocks; set code.format = "blocks"'

    def _contexts(self) -> Iterator[str]:
        context = self.model.context
        for name, tokens in (("sampling", self.sampling.max_new_tokens), ("evaluation", self.evaluation.max_new_tokens)):
            if tokens >= context:
                yield (
                    f"{name}.max_new_tokens is {tokens} and model.context, which holds the question too, {context}; "
                    "raise model.context or lower the other"
                )
        for name, settings in (("sft", self.sft), ("rft", self.rft), ("training", self.training)):
            if settings.context > context:
                bound = f"model.context, which bounds it, {context}"
                yield f"{name}.context is {settings.context} and {bound}; raise model.context"

    def _engines(self) -> Iterator[str]:
        if self.engine.kind == "server" and self.run.rounds > 1:
            yield (
                f'engine.kind = "server" knows models by name, and each of the {self.run.rounds} rounds has another "scdpo"; '
                "set another engine.kind, or run.rounds = 1"
            )
        trained = (("rft", self.rft), ("training", self.training)) if "rft" in self.run.arms else (("training", self.training),)
        adapters = [name for name, settings in trained if settings.lora.rank]
        if self.engine.kind == "vllm" and adapters:
            yield (
                f'{adapters[0]}.lora leaves adapters, which engine.kind "vllm" does not load to evaluate them; set '
                'engine.kind = "transformers"'
            )

    def _given_trees(self) -> Iterator[str]:
        if self.sampling.trees and self.run.rounds > 1:
            yield f"run.rounds is {self.run.rounds}: later rounds sample, and sampling.trees gives the pairs; set it to 1"
        if self.sampling.trees and "dpo-data-equal" in self.run.arms:
            yield (
                'run.arms has "dpo-data-equal", which needs sampled solutions, and sampling.trees gives only pairs; '
                'set run.arms = ["dpo", "scdpo"], with "rft" where the chosen solutions are whole'
            )

    def context_of(self, training: OptimizerSettings) -> int:
        """The most tokens of a question with its solution in one of the recipe's trainings."""
        return training.context or self.model.context

    def to_toml(self) -> str:
        """The recipe in full, as a file that gives the same recipe again."""
        return tomli_w.dumps(self.model_dump(mode="json"))


def packaged_recipes() -> list[str]:
    """The names of the recipes that come with the package."""
    folder = resources.files("scdpo.run") / "recipes"
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def load_recipe(name: str, overrides: Mapping[str, str] | None = None) -> Recipe:
    """A recipe by packaged name or path, with overrides ("section.field" -> value as typed). Raises RecipeError."""
    return build_recipe(_read(name), name, overrides or {})


def build_recipe(table: dict[str, Any], name: str, overrides: Mapping[str, str]) -> Recipe:
    """A recipe from a parsed TOML table and overrides. Raises RecipeError naming the field and the closest valid one."""
    for path, value in overrides.items():
        *sections, field = path.split(".")
        place: Any = table
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise RecipeError(f"--{path}: {section} is a field and has no fields of its own")
        place[field] = _literal(value)
    table = _with_preset(table)
    try:
        recipe = Recipe.model_validate(table)
    except ValidationError as error:
        flaws = dict.fromkeys(_explain(name, dict(detail), overrides) for detail in error.errors())
        raise RecipeError("; ".join(flaws)) from error
    if misfits := list(recipe.misfits()):
        raise RecipeError("\n".join(f"recipe {name}: {misfit}" for misfit in misfits))
    return recipe


def _with_preset(table: dict[str, Any]) -> dict[str, Any]:
    """The table over the values of the preset that it names."""
    run = table.get("run")
    name = run.get("preset") if isinstance(run, dict) else None
    file = resources.files("scdpo.run") / "recipes" / "presets" / f"{name}.toml"
    if not isinstance(name, str) or "/" in name or not file.is_file():
        return table
    preset = tomllib.loads(file.read_text(encoding="utf-8"))
    return _over(preset, table)


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two tables as one, in which the upper one's fields win, at any depth."""
    tables = [name for name in below if isinstance(below[name], dict) and isinstance(above.get(name), dict)]
    return {**below, **above, **{name: _over(below[name], above[name]) for name in tables}}


def recipe_text(name: str) -> str:
    """A recipe as it is written, by packaged name or path. Raises RecipeError where there is none."""
    path = Path(name).expanduser()
    packaged = resources.files("scdpo.run") / "recipes" / f"{name}.toml"
    try:
        if path.is_file():
            return path.read_text(encoding="utf-8")
        if "/" not in name and packaged.is_file():
            return packaged.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {name}: {error}") from error
    close = difflib.get_close_matches(name, packaged_recipes(), n=1)
    hint = f'did you mean "{close[0]}"?' if close else f"there are: {', '.join(packaged_recipes())}"
    raise RecipeError(f'no recipe "{name}", neither a file nor a packaged one; {hint}')


def _read(name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(recipe_text(name))
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"recipe {name}: {error}") from error


def _literal(value: str) -> Any:
    """A command-line value as TOML understands it, else as the text it is."""
    try:
        return tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return value


def _explain(name: str, detail: Mapping[str, Any], overrides: Mapping[str, str]) -> str:
    """One validation error as a line that names recipe, section and field, and the closest valid name."""
    *sections, field = _known_place(detail)
    path = ".".join((*sections, field))
    place = f"recipe {name}:" + (f" [{'.'.join(sections)}]" if sections else "")
    if detail["type"] in UNKNOWN_FIELD:
        valid = field_names(sections)
        close = difflib.get_close_matches(field, valid, n=1, cutoff=0.5)
        hint = f'did you mean "{close[0]}"?' if close else f"there are: {', '.join(valid)}"
        what = "field" if sections else "section"
        return f"--{path}: no such {what}; {hint}" if path in overrides else f'{place} has no {what} "{field}"; {hint}'
    origin = f"--{path}" if path in overrides else f"{place} {field}"
    return f"{origin}: {detail['msg'][0].lower()}{detail['msg'][1:]}, but it is {detail['input']!r}"


def _known_place(detail: Mapping[str, Any]) -> Sequence[str]:
    """Where an error lies, without what pydantic adds after a field: which of its types, which item."""
    place = [str(part) for part in detail["loc"]]
    while len(place) > 1 and detail["type"] not in UNKNOWN_FIELD and place[-1] not in field_names(place[:-1]):
        place.pop()
    return place


UNKNOWN_FIELD = ("extra_forbidden", "unexpected_keyword_argument")


def field_names(sections: Sequence[str]) -> list[str]:
    """The fields that a section of the recipe has (the sections themselves, for no section)."""
    kind: Any = Recipe
    for section in sections:
        kind = _fields(kind).get(section)
    return list(_fields(kind))


def _fields(kind: Any) -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return dict.fromkeys(getattr(kind, "__dataclass_fields__", {}))


class DescribedField(NamedTuple):
    """A field by its path, "section.field". default: as TOML."""

    path: str
    default: str
    meaning: str


def described_fields(settings: BaseModel | None = None, prefix: str = "") -> Iterator[DescribedField]:
    """Every field of a recipe, for help texts."""
    settings = Recipe() if settings is None else settings
    values = settings.model_dump(mode="json")
    for name, field in type(settings).model_fields.items():
        value, meaning = getattr(settings, name), " ".join((field.description or "").split())
        if isinstance(value, BaseModel):
            yield from described_fields(value, f"{prefix}{name}.")
        else:  # a dataclass's fields have no texts of their own; what a plain table may hold is not known
            parts = _flat({name: values[name]}) if is_dataclass(value) else {name: values[name]}
            for path, part in parts.items():
                yield DescribedField(f"{prefix}{path}", json.dumps(part, ensure_ascii=False), meaning)


def flat_fields(recipe: Recipe) -> dict[str, Any]:
    """Every field of a recipe by its path, "section.field" -> value."""
    return _flat(recipe.model_dump(mode="json"))


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
