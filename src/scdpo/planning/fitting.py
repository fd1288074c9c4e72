"""What fits where: this machine's memory or a number of accelerators, and which fields would make the rest fit, by trying."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from scdpo.errors import RecipeError
from scdpo.planning.accelerators import Accelerator
from scdpo.planning.flops import Efficiency, compute_seconds, decoding_seconds
from scdpo.planning.memory import reference_memory, sampling_memory, training_memory
from scdpo.planning.stages import Known, Plan, StagePlan, make_plan
from scdpo.run.recipe import Recipe, build_recipe

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Numbers of accelerators that are tried."""
TRIED: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "sft": (
        {"tokens_per_micro_batch": "half"},
        {"tokens_per_micro_batch": "longest"},
        {"logits_per_chunk": "128"},
        {"activation_checkpointing": "true"},
        {"precision": "float32"},
        {"lora.rank": "16", "optimizer": "adamw"},
        {"lora.rank": "16", "optimizer": "adamw", "lora.quantize": "nf4"},
        {"lora.rank": "16", "optimizer": "adamw", "lora.quantize": "nf4", "activation_checkpointing": "true"},
    ),
    "engine": ({"precision": "bfloat16"}, {"rows": "half"}, {"rows": "16"}, {"rows": "16", "precision": "bfloat16"}),
}
"""Values by section (those of sft for every training); half: of what is set, longest: one row at a time."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """Fields that would change a stage's memory, and what it then is, in bytes a process."""

    stage: str
    fields: Mapping[str, str]
    memory: float
    fits: bool


@dataclass(frozen=True, slots=True)
class Fleet:
    """A number of accelerators (None: no number that was tried fits), and hours by stage; tight: the stage that needs most."""

    accelerator: Accelerator
    count: int | None
    hours: Mapping[str, float]
    tight: str
    bytes_each: float


def gpu_memory(plan: Plan, stage: StagePlan, count: int) -> float:
    """Bytes of one of `count` accelerators at a stage's peak; trainings and reference log-probs are sharded over all."""
    shape = plan.shape
    if stage.decodes:
        lengths = plan.work.lengths
        context, has_code = plan.recipe.model.context, bool(plan.recipe.code.format)
        return sampling_memory(shape, plan.on_gpus.engine, context, lengths.prompt, context, has_code, gpu=True).total
    if stage.settings is None or stage.load is None:
        return 0.0
    computed = reference_memory if stage.name == "reference" else training_memory
    return computed(shape, getattr(plan.on_gpus, stage.section), stage.load, count, gpu=True).total


def fleet(plan: Plan, each: Accelerator, count: int | None, efficiency: Efficiency) -> Fleet:
    """The smallest number that fits, or the given one, with what it takes."""
    need = lambda number: max(((gpu_memory(plan, s, number), s.name) for s in plan.stages), default=(0.0, ""))  # noqa: E731
    tried = (count,) if count else COUNTS
    fitting = next((number for number in tried if need(number)[0] <= each.usable), None)
    least, name = need(fitting or tried[-1])
    hours = {s.name: stage_seconds(plan, s, each, fitting or tried[-1], efficiency) / 3600 for s in plan.stages}
    return Fleet(each, fitting, hours, name, least)


def stage_seconds(plan: Plan, stage: StagePlan, each: Accelerator, count: int, efficiency: Efficiency) -> float:
    """A stage on `count` accelerators: products, or what decoding reads, whichever takes longer."""
    compute = compute_seconds(stage.flops, each, count, efficiency)
    if not stage.decodes:
        return compute
    engine, row = plan.on_gpus.engine, plan.work.lengths.row
    size = 2 if engine.precision == "bfloat16" else 4
    read = decoding_seconds(plan.shape, stage.tokens, engine.rows, row, size, each, count, efficiency)
    return max(compute, read)


def remedies(plan: Plan, facts: Known, fits: Callable[[Plan, StagePlan], tuple[float, bool]]) -> list[Remedy]:
    """For every stage that does not fit, what each of the tried fields makes of it; those that fit first.

    fits: a stage's bytes, and whether there is room for them.
    """
    found: list[Remedy] = []
    for stage in plan.stages:
        before, fine = fits(plan, stage)
        if fine:
            continue
        tries = []
        for fields in candidates(plan, stage):
            changed = with_fields(plan.recipe, fields)
            other = changed and make_plan(changed, facts)
            if other:
                memory, fine = fits(other, other.stage(stage.name))
                tries.append(Remedy(stage.name, fields, memory, fine))
        enough = [each.fields.items() for each in tries if each.fits]
        helping = [
            each for each in tries if each.memory < 0.98 * before and not any(fewer < each.fields.items() for fewer in enough)
        ]
        found += sorted(helping, key=lambda each: (not each.fits, len(each.fields), each.memory))
    return found


def candidates(plan: Plan, stage: StagePlan) -> Iterator[dict[str, str]]:
    """The fields to try for a stage, by path, where they are not so already."""
    settings = plan.recipe.engine if stage.decodes else stage.settings
    for fields in TRIED["engine" if stage.decodes else "sft"]:
        named = {}
        for field, value in fields.items():
            now = getattr(settings, field, None)
            if value == "half":
                value = str(max(1, int(now or 2) // 2))
            if value == "longest":
                value = str(plan.work.lengths.longest)
            named[f"{stage.section}.{field}"] = value
        yield named
    if not stage.decodes and stage.at_once > 1:
        yield {"training.threads": "0", "rft.threads": "0"}
    if stage.decodes and stage.at_once > 1:
        yield {"engine.threads": str(2 * plan.recipe.engine.threads)}
    own = stage.settings is not None and stage.settings.context
    yield {f"{stage.section}.context" if own else "model.context": str((own or plan.recipe.model.context) // 2)}


def with_fields(recipe: Recipe, fields: Mapping[str, str]) -> Recipe | None:
    """The recipe with other values of some fields; None where it would be no recipe, or the same."""
    try:
        changed = build_recipe(recipe.model_dump(mode="json"), "tried", fields)
    except RecipeError:
        return None
    return None if changed == recipe else changed
