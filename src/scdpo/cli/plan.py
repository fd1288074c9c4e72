"""`scdpo plan RECIPE`: what a recipe costs, before anything is spent. Its options, which cost no import, and what it does."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from scdpo.cores import usable_cores
from scdpo.errors import RecipeError


def add_plan(commands: Any) -> None:
    text = "what a recipe costs: parameters, tokens, FLOPs, memory, hours, disk; what does not fit and what would make it fit"
    epilog = "Recipe fields are set as --section.field value. See docs/plan.md."
    plan = commands.add_parser("plan", help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=epilog)
    plan.add_argument("recipe", help="a packaged recipe, a TOML file or a run directory")
    plan.add_argument("--accelerator", nargs="+", metavar="NAME", help="A800-80GB, H100-80GB, L40S, RTX-4090, ...")
    plan.add_argument("--gpus", type=int, metavar="N", help="how many (default: the smallest number that fits)")
    plan.add_argument("--memory", type=float, metavar="GIB", help="memory to fit into (default: this machine's)")
    plan.add_argument("--accuracy", type=float, default=0.6, metavar="P", help="of a sample, on average (default: 0.6)")
    text = "how alike problems are: low, most are always solved or never (default: 1)"
    plan.add_argument("--concentration", type=float, default=1.0, metavar="C", help=text)
    plan.add_argument("--mfu", type=float, default=0.35, metavar="SHARE", help="of peak products (default: 0.35)")
    text = "of peak bandwidth in decoding (default: 0.5)"
    plan.add_argument("--bandwidth-use", type=float, default=0.5, metavar="SHARE", help=text)
    text = "also plan for this machine's cores, of which each sustains so many GFLOP/s"
    plan.add_argument("--cpu-gflops", type=float, metavar="N", help=text)
    plan.add_argument("--json", metavar="FILE", help="write the numbers to this file")
    plan.set_defaults(act=act_plan, takes_fields=True)


def act_plan(known: argparse.Namespace, console: Any) -> None:
    """Print the plan. Raises RecipeError, ModelError."""
    from scdpo.cli.files import written
    from scdpo.planning.accelerators import GIB, RESERVED, SHOWN, Accelerator, accelerator
    from scdpo.planning.fitting import fleet, gpu_memory, remedies
    from scdpo.planning.flops import Efficiency
    from scdpo.planning.shown import as_json, shown
    from scdpo.planning.stages import known as look_up
    from scdpo.planning.stages import make_plan
    from scdpo.planning.workload import Chances
    from scdpo.run.recipe import build_recipe, load_recipe

    check(known)
    run = Path(known.recipe).expanduser()
    is_run = (run / "recipe.toml").is_file()
    recipe = load_recipe(str(run / "recipe.toml") if is_run else known.recipe, known.fields)
    if known.fields and is_run:
        recipe = build_recipe(recipe.model_dump(mode="json"), known.recipe, known.fields)
    cores = usable_cores()
    facts = look_up(recipe, Chances(known.accuracy, known.concentration), cores, run if is_run else None)
    plan = make_plan(recipe, facts)
    efficiency = Efficiency(known.mfu, known.bandwidth_use)
    named = [accelerator(name) for name in known.accelerator or SHOWN]
    fleets = [fleet(plan, each, known.gpus, efficiency) for each in named]
    room = known.memory * GIB if known.memory else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if known.cpu_gflops:
        peak = known.cpu_gflops * cores / 1000 / known.mfu  # given as sustained
        own = replace(plan, recipe=plan.here, formats={})
        fleets.append(fleet(own, Accelerator("this machine", peak, room / GIB / (1 - RESERVED), 20.0), 1, efficiency))
    if known.accelerator:
        count = known.gpus or max((each.count or 1) for each in fleets)
        tightest = min(named, key=lambda each: each.memory_gib)

        def fits(other: Any, stage: Any) -> tuple[float, bool]:
            size = gpu_memory(other, stage, count)
            return size, size <= tightest.usable
    else:

        def fits(other: Any, stage: Any) -> tuple[float, bool]:
            return stage.machine_memory, stage.machine_memory <= room

    found = remedies(plan, facts, fits)
    tight = [stage.name for stage in plan.stages if not fits(plan, stage)[1]]
    console.print(shown(plan, room, cores, fleets, tight, found, efficiency), markup=False)
    with written(known.json) as write:
        write(json.dumps(as_json(plan, room, fleets, found, efficiency), indent=2) + "\n")


def check(known: argparse.Namespace) -> None:
    """Refuse options out of bounds. Raises RecipeError."""
    for name in ("accuracy", "mfu", "bandwidth_use"):
        value = getattr(known, name)
        if not 0 < value < 1:
            raise RecipeError(f"--{name.replace('_', '-')} is {value:g}; give a share between 0 and 1")
    for name in ("concentration", "gpus", "memory", "cpu_gflops"):
        value = getattr(known, name)
        if value is not None and value <= 0:
            raise RecipeError(f"--{name.replace('_', '-')} is {value:g}; give a number above 0")
