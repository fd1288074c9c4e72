"""`scdpo plan RECIPE`: what a recipe costs, before anything is spent."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from rich.console import Console

from scdpo.cli.options import Fields, JsonFile, Shown
from scdpo.cores import usable_cores
from scdpo.settings import Settings

Share = Annotated[float, Field(gt=0, lt=1), Shown("SHARE")]


class Plan(Settings):
    """What a recipe costs, from it and its model's config alone: parameters, tokens, FLOPs, memory, hours, disk; what does not
    fit and what would make it fit. Nothing is loaded or trained.

    Recipe fields are set as --section.field value. See docs/plan.md.
    """

    recipe: Annotated[str, Shown(is_positional=True)]
    """A packaged recipe, a TOML file or a run directory."""
    accelerator: Annotated[tuple[str, ...], Shown("NAME")] = ()
    """A800-80GB, H100-80GB, L40S, RTX-4090, ... (default: some of each size)."""
    gpus: int | None = Field(None, gt=0)
    """How many (default: the smallest number that fits)."""
    memory: Annotated[float | None, Field(gt=0), Shown("GIB")] = None
    """Memory to fit into (default: this machine's)."""
    accuracy: Annotated[float, Field(gt=0, lt=1), Shown("P")] = 0.6
    """How often a sample is right, on average over the problems."""
    concentration: Annotated[float, Field(gt=0), Shown("C")] = 1.0
    """How alike problems are: low, most are always solved or never."""
    mfu: Share = 0.35
    """The share of the accelerator's peak products that training and prompts reach."""
    bandwidth_use: Share = 0.5
    """The share of its peak bandwidth that decoding reaches."""
    cpu_gflops: float | None = Field(None, gt=0)
    """Also plan for this machine's cores, of which each sustains so many GFLOP/s."""
    json_file: JsonFile = None
    """Write the numbers to this file."""
    fields: Fields = Field(default_factory=dict)
    """Fields of the recipe."""


def plan_recipe(options: Plan, console: Console) -> None:
    """Print the plan. Raises RecipeError, ModelError."""
    from scdpo.cli.files import written
    from scdpo.planning.accelerators import GIB, RESERVED, SHOWN, Accelerator, accelerator
    from scdpo.planning.fitting import fleet, gpu_memory, remedies
    from scdpo.planning.flops import Efficiency
    from scdpo.planning.shown import as_json, plan_text
    from scdpo.planning.stages import known as look_up
    from scdpo.planning.stages import make_plan
    from scdpo.planning.workload import Chances
    from scdpo.run.recipe import build_recipe, load_recipe

    run = Path(options.recipe).expanduser()
    is_run = (run / "recipe.toml").is_file()
    recipe = load_recipe(str(run / "recipe.toml") if is_run else options.recipe, options.fields)
    if options.fields and is_run:
        recipe = build_recipe(recipe.model_dump(mode="json"), options.recipe, options.fields)
    cores = usable_cores()
    facts = look_up(recipe, Chances(options.accuracy, options.concentration), cores, run if is_run else None)
    plan = make_plan(recipe, facts)
    efficiency = Efficiency(options.mfu, options.bandwidth_use)
    named = [accelerator(name) for name in options.accelerator or SHOWN]
    fleets = [fleet(plan, each, options.gpus, efficiency) for each in named]
    room = options.memory * GIB if options.memory else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if options.cpu_gflops:
        peak = options.cpu_gflops * cores / 1000 / options.mfu  # given as sustained
        own = replace(plan, recipe=plan.here, formats={})
        fleets.append(fleet(own, Accelerator("this machine", peak, room / GIB / (1 - RESERVED), 20.0), 1, efficiency))
    if options.accelerator:
        count = options.gpus or max((each.count or 1) for each in fleets)
        tightest = min(named, key=lambda each: each.memory_gib)

        def fits(other: Any, stage: Any) -> tuple[float, bool]:
            size = gpu_memory(other, stage, count)
            return size, size <= tightest.usable
    else:

        def fits(other: Any, stage: Any) -> tuple[float, bool]:
            return stage.machine_memory, stage.machine_memory <= room

    found = remedies(plan, facts, fits)
    tight = [stage.name for stage in plan.stages if not fits(plan, stage)[1]]
    console.print(plan_text(plan, room, cores, fleets, tight, found, efficiency), markup=False)
    with written(options.json_file) as write:
        write(json.dumps(as_json(plan, room, fleets, found, efficiency), indent=2) + "\n")
