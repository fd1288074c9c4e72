"""The commands that carry out stages: `run`, one for each stage alone, and `status`, which only looks."""

from __future__ import annotations

import argparse
import contextlib
import logging
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdpo.cores import side_by_side
from scdpo.report.result import FALLING
from scdpo.run.stage import Stage, all_turns, turns_of
from scdpo.run.stages import STAGES

if TYPE_CHECKING:
    from rich.console import Console

    from scdpo.run.directory import RunDirectory
    from scdpo.run.stage import Turn

LAUNCHED = tuple(stage.name for stage in STAGES if stage.launched)
UNSAFE_HELP = "run solutions' code even where a layer of isolation is missing; recorded in recipe and manifest"
RAY_HELP = "do the work in blocks of problems on the Ray cluster at ADDRESS (default: the one there is, or a new one here)"
SMOKE_HELP = "all stages in small, on this machine and without a network: a tiny random model of the recipe's architecture"
FROM_HELP = "another run, from which everything is taken over that this recipe makes the same way (hard links, no copies)"
REMAKE_HELP = "make again what is there and was made with other fields, or from other inputs, than the recipe has now"
FIELDS_HINT = "Every recipe field can be set as --section.field value; `scdpo fields` lists them all."


def add_stages(commands: Any) -> None:
    text = "all stages of a recipe, in one run directory"
    run = commands.add_parser("run", help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=FIELDS_HINT)
    run.add_argument("recipe", nargs="?", help="a packaged recipe or a TOML file (default: that of --from, else quickstart)")
    run.add_argument("--out", metavar="DIR", help="the run directory (default: runs/RECIPE, or runs/RECIPE-smoke)")
    run.add_argument("--from", dest="source", metavar="RUN", help=FROM_HELP)
    run.add_argument("--smoke", action="store_true", help=SMOKE_HELP)
    add_shared(run, STAGES)
    for stage in STAGES:
        text = stage.help
        command = commands.add_parser(stage.name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=FIELDS_HINT)
        command.add_argument("dir", help="the run directory; where there is no run, sft starts one")
        if stage.name == "train":
            command.epilog = f"{FALLING} Several processes or GPUs: docs/training.md. {FIELDS_HINT}"
        if stage.name == "credit":
            add_credit(command)
        if stage.name == "sft":
            command.add_argument("--recipe", help="for a new run: a packaged recipe or a TOML file (default: quickstart)")
            command.add_argument("--from", dest="source", metavar="RUN", help=FROM_HELP)
        add_shared(command, [stage])
    text = "what a run has, owes and would make otherwise now, stage by stage, and what comes next"
    status = commands.add_parser("status", help=text, description=f"{text[0].upper()}{text[1:]}.")
    status.add_argument("dir", help="the run directory")
    status.set_defaults(act=act_status)


def add_shared(command: argparse.ArgumentParser, stages: Sequence[Stage]) -> None:
    """The options of commands that carry out these stages."""
    command.add_argument("--workers", type=int, metavar="N", help="worker processes (default: the usable cores; with a GPU 1)")
    command.add_argument("--remake", action="store_true", help=REMAKE_HELP)
    if any(stage.executes for stage in stages):
        command.add_argument("--unsafe-no-isolation", action="store_true", help=UNSAFE_HELP)
    if any(stage.in_blocks for stage in stages):
        command.add_argument("--ray", nargs="?", const="auto", metavar="ADDRESS", help=RAY_HELP)


def add_credit(credit: argparse.ArgumentParser) -> None:
    credit.epilog = f"See docs/credit.md. {FIELDS_HINT}"
    credit.add_argument("file", nargs="?", help="solutions of your own: .jsonl, .json or .parquet, ProcessBench's form too")
    text = "models that stand side by side: the run's, sft-log-prob, or folders (default: scdpo dpo)"
    credit.add_argument("--models", nargs="+", metavar="MODEL", default=["scdpo", "dpo"], help=text)
    credit.add_argument("--reference", metavar="MODEL", default="sft", help="what folders are compared with (default: sft)")
    credit.add_argument("--out", metavar="FILE", help="write every solution with all values, as JSON lines")
    credit.add_argument("--json", metavar="FILE", help="write the figures of localisation and of ProcessBench's task")
    credit.add_argument("--html", metavar="FILE", help="write a page with the solutions, to look at side by side")
    credit.add_argument("--most", type=int, metavar="N", default=3, help="the most solutions to print (default: 3)")
    text = "ProcessBench's task: name the first step below this sum (default: the best of the other half of the problems)"
    credit.add_argument("--threshold", type=float, metavar="NATS", help=text)


def act_status(known: argparse.Namespace, console: Console) -> None:
    from scdpo.run.directory import RunDirectory
    from scdpo.run.status import status_table

    run = RunDirectory.open(known.dir)
    console.print(status_table(run, STAGES))


def carry_out(known: argparse.Namespace, overrides: dict[str, str], console: Console, rank: int, processes: int) -> None:
    """The stages that a command asks for."""
    from scdpo.cli.logs import file_log

    run = find_run(known, overrides, console, rank, processes)
    if known.command == "credit":
        from scdpo.cli.credit import CreditOptions, credit_file, credit_run, refuse_misfits
        from scdpo.cli.options import read_options

        wishes = read_options(known, CreditOptions, {})
        if known.file:
            credit_file(run, known.file, wishes, console)
            return
        refuse_misfits(run, wishes)
    by_name = {stage.name: stage for stage in STAGES}
    turns = all_turns(run, STAGES) if known.command == "run" else turns_of(run, by_name[known.command])
    console.print(f"run directory: {run.path}")
    log = run.path / "logs" / "scdpo.log"
    with file_log(log, shlex.join(["scdpo", *known.words])) if rank == 0 else contextlib.nullcontext():
        carry_out_turns(run, turns, known.workers, console, rank, processes)
    if known.command == "credit":
        credit_run(run, wishes, console)
    if getattr(known, "smoke", False):
        from scdpo.cli.smoke import end_smoke

        end_smoke(run, console)
    if known.command == "temperature":
        from scdpo.cli.temperature import show_temperatures

        show_temperatures(run, console)


def find_run(known: argparse.Namespace, overrides: dict[str, str], console: Console, rank: int, processes: int) -> RunDirectory:
    """The run that a command is for, as it asks for it. Of several processes the first prepares it."""
    from scdpo.run.directory import RunDirectory
    from scdpo.run.prepare import as_asked, prepare

    tell = partial(logging.getLogger("scdpo").warning, "note: %s")  # a warning: --quiet keeps it
    if known.command == "run":
        named = known.recipe or ("quickstart" if not known.source else Path(known.source).name)
        folder = known.out or str(Path("runs") / (Path(named).name.removesuffix(".toml") + ("-smoke" if known.smoke else "")))
        if known.smoke:
            from scdpo.cli.smoke import start_smoke

            run = start_smoke(folder, known.recipe or "quickstart", overrides, console)
        else:
            run = prepare(folder, known.recipe, overrides, known.source, known.remake, tell)
    else:
        if known.command == "sft" and rank == 0:
            run = prepare(known.dir, known.recipe, overrides, known.source, known.remake, tell)
        if processes > 1:
            from scdpo.training.processes import launched

            launched().wait_for_everyone()
        if known.command != "sft" or rank > 0:
            run = as_asked(RunDirectory.open(known.dir), overrides, remake=known.remake and rank == 0)
    if getattr(known, "unsafe_no_isolation", False):
        run = as_asked(run, {"sandbox.unsafe_no_isolation": "true"})
    return run


def carry_out_turns(
    run: RunDirectory, turns: Sequence[Turn], workers: int | None, console: Console, rank: int, processes: int
) -> None:
    """The stages, in order, with what they need and with their progress."""
    from scdpo.run.directory import round_name
    from scdpo.run.isolation import sandbox_layers
    from scdpo.run.making import run_stage
    from scdpo.run.pool import Workers
    from scdpo.run.precisions import precision_lines
    from scdpo.run.progress import ProgressDisplay
    from scdpo.run.ray_pool import RayWorkers
    from scdpo.run.tools import Tools

    for line in precision_lines(run.recipe, run.manifest(), {stage.name for stage, _ in turns}) if rank == 0 else ():
        console.print(line, markup=False)
    layers = sandbox_layers(run) if rank == 0 and any(stage.executes for stage, _ in turns) else []
    if any(layer.startswith("MISSING") for layer in layers):
        console.print(f"[bold]code runs without full isolation[/bold]: {', '.join(layers)}")
    count = 1 if processes > 1 else workers or side_by_side(1)
    on_ray = run.recipe.ray.address and any(stage.in_blocks for stage, _ in turns)
    with (
        run.locked() if rank == 0 else contextlib.nullcontext(),
        Workers(count, run) as pool,
        RayWorkers(run.recipe.ray, run) if on_ray else contextlib.nullcontext(pool) as block_workers,
    ):
        display = ProgressDisplay(console, [round_name(stage.name, current.number) for stage, current in turns])
        tools = Tools(run, pool, block_workers, display, rank == 0, layers)
        for stage, current in turns:
            run_stage(tools, stage, current)
