"""The commands that carry out stages: `run`, and one for each stage alone."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from rich.console import Console

from scdpo.cores import side_by_side
from scdpo.report.result import FALLING

STAGE_HELP = {
    "sft": "fine-tune the model that sampling and the trainings start from",
    "sample": "sample naive solutions of the pair problems (D_naive)",
    "fork": "fork correct solutions at a step and let them go wrong (D_SC)",
    "train": "train rft, dpo, dpo-data-equal and scdpo from the SFT model",
    "evaluate": "greedy answers of every model on the held-out problems",
    "credit": "score solutions token by token with the trained models: those of FILE, or wrong ones sampled by the SFT model",
    "temperature": "accuracy of sampled solutions by temperature",
    "report": "write results.json, report.md, report.html, figures and tables",
}
LAUNCHED = ("sft", "train")
BLOCKWISE = {"sample", "fork", "evaluate", "credit", "temperature"}
"""The stages that work in blocks of problems, and can do so on a Ray cluster."""
EXECUTING = {"sft", *BLOCKWISE}
"""The stages that run code, and the first one, which asks before anything is spent."""
UNSAFE_HELP = "run solutions' code even where a layer of isolation is missing; recorded in recipe and manifest"
RAY_HELP = "do the work in blocks of problems on the Ray cluster at ADDRESS (default: the one there is, or a new one here)"
SMOKE_HELP = "all stages in small, on this machine and without a network: a tiny random model of the recipe's architecture"
FIELDS_HINT = "Every recipe field can be set as --section.field value; `scdpo fields` lists them all."


def add_stages(commands: Any) -> None:
    run = commands.add_parser("run", help="all stages of a recipe, in one run directory", epilog=FIELDS_HINT)
    run.add_argument("recipe", nargs="?", help="a packaged recipe or a TOML file (default: quickstart)")
    run.add_argument("--out", metavar="DIR", help="the run directory (default: runs/RECIPE, or runs/RECIPE-smoke)")
    run.add_argument("--smoke", action="store_true", help=SMOKE_HELP)
    for name, text in STAGE_HELP.items():
        stage = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=FIELDS_HINT)
        stage.add_argument("dir", help="the run directory; a new one is started where there is none (sft only)")
        if name == "train":
            stage.epilog = f"{FALLING} Several processes or GPUs: docs/training.md. {FIELDS_HINT}"
        if name == "credit":
            add_credit(stage)
        if name == "sft":
            stage.add_argument("--recipe", help="for a new run: a packaged recipe or a TOML file (default: quickstart)")
    for name in ("run", *STAGE_HELP):
        command = commands.choices[name]
        command.add_argument(
            "--workers", type=int, metavar="N", help="worker processes (default: the usable cores; with a GPU 1)"
        )
        if name == "run" or name in EXECUTING:
            command.add_argument("--unsafe-no-isolation", action="store_true", help=UNSAFE_HELP)
        if name == "run" or name in BLOCKWISE:
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


def carry_out(known: argparse.Namespace, overrides: dict[str, str], console: Console, rank: int, processes: int) -> None:
    """The stages that a command asks for."""
    from scdpo.run.isolation import sandbox_layers
    from scdpo.run.precisions import precision_lines
    from scdpo.run.progress import ProgressDisplay
    from scdpo.run.ray_workers import RayWorkers
    from scdpo.run.rounds import named
    from scdpo.run.run_directory import RunDirectory
    from scdpo.run.stages import Bench, run_stage
    from scdpo.run.tasks import forget
    from scdpo.run.turns import all_turns, turns_of
    from scdpo.run.workers import Workers

    if known.command == "run":
        name = Path(known.recipe or "quickstart").name.removesuffix(".toml") + ("-smoke" if known.smoke else "")
        folder = known.out or str(Path("runs") / name)
        if known.smoke:
            from scdpo.cli.smoke import start_smoke

            run = start_smoke(folder, known.recipe or "quickstart", overrides, console)
        else:
            run = RunDirectory.prepare(folder, known.recipe, overrides)
    else:
        if known.command == "sft" and rank == 0:
            run = RunDirectory.prepare(known.dir, known.recipe, overrides)
        if processes > 1:
            from scdpo.training.processes import launched

            launched().wait_for_everyone()
        if known.command != "sft" or rank > 0:
            run = RunDirectory.open(known.dir).asked_for(overrides)
    if getattr(known, "unsafe_no_isolation", False):
        run.allow_no_isolation()
    forget()
    if known.command == "credit":
        from scdpo.cli.credit import CreditOptions, credit_file, credit_run, refuse_misfits
        from scdpo.cli.options import read_options

        wishes = read_options(known, CreditOptions, {})
        if known.file:
            credit_file(run, known.file, wishes, console)
            return
        refuse_misfits(run, wishes)
    turns = all_turns(run) if known.command == "run" else turns_of(run, known.command)
    console.print(f"run directory: {run.path}")
    for line in precision_lines(run.recipe, run.manifest(), {stage for stage, _ in turns}) if rank == 0 else ():
        console.print(line, markup=False)
    layers = sandbox_layers(run) if rank == 0 and EXECUTING.intersection(stage for stage, _ in turns) else []
    if any(layer.startswith("MISSING") for layer in layers):
        console.print(f"[bold]code runs without full isolation[/bold]: {', '.join(layers)}")
    count = 1 if processes > 1 else known.workers or side_by_side(1)
    on_ray = run.recipe.ray.address and BLOCKWISE.intersection(stage for stage, _ in turns)
    with (
        run.locked() if rank == 0 else contextlib.nullcontext(),
        Workers(count) as workers,
        RayWorkers(run.recipe.ray, run.path / "recipe.toml") if on_ray else contextlib.nullcontext(workers) as block_workers,
    ):
        display = ProgressDisplay(console, [named(stage, current.number) for stage, current in turns])
        bench = Bench(run, workers, block_workers, display, rank == 0, layers)
        for stage, current in turns:
            run_stage(bench, stage, current)
    if known.command == "credit":
        credit_run(run, wishes, console)
    if getattr(known, "smoke", False):
        from scdpo.cli.smoke import end_smoke

        end_smoke(run, console)
    if known.command == "temperature":
        from scdpo.cli.temperature import show_temperatures

        show_temperatures(run, console)
