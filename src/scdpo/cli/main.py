"""The command `scdpo`: parses, calls the stages, and turns errors into one line with the cure. Thin."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import errno
import os
import sys
import traceback
import warnings
from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path

from scdpo import __version__
from scdpo.cli.bench_options import add_bench
from scdpo.cli.compare import add_compare
from scdpo.cli.exchange import add_export, add_import
from scdpo.cli.lm_eval import add_lm_eval_task
from scdpo.cli.plan import add_plan
from scdpo.cli.push import add_push
from scdpo.cli.show import add_show
from scdpo.cli.small import add_doctor, add_execute, add_fields, add_grade, add_merge, add_steps
from scdpo.cores import share_cores, side_by_side
from scdpo.errors import RecipeError, RunError, ScdpoError
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
# How the libraries say that the disk is full: Python and Rust, and torch.save.
DISK_FULL = ("No space left on device", "os error 28", "PytorchStreamWriter failed writing", "unexpected pos")
LAUNCHED = ("sft", "train")
BLOCKWISE = {"sample", "fork", "evaluate", "credit", "temperature"}
"""The stages that work in blocks of problems, and can do so on a Ray cluster."""
EXECUTING = {"sft", *BLOCKWISE}
"""The stages that run code, and the first one, which asks before anything is spent."""
ALONE = (
    add_fields,
    add_show,
    add_grade,
    add_steps,
    add_compare,
    add_merge,
    add_execute,
    add_doctor,
    add_import,
    add_export,
    add_push,
    add_lm_eval_task,
    add_bench,
    add_plan,
)
"""The commands that need no run, or only read some: each brings its options and what it does."""
UNSAFE_HELP = "run solutions' code even where a layer of isolation is missing; recorded in recipe and manifest"
RAY_HELP = "do the work in blocks of problems on the Ray cluster at ADDRESS (default: the one there is, or a new one here)"
SMOKE_HELP = "all stages in small, on this machine and without a network: a tiny random model of the recipe's architecture"
FIELDS_HINT = "Every recipe field can be set as --section.field value; `scdpo fields` lists them all."


def parser() -> argparse.ArgumentParser:
    main_parser = argparse.ArgumentParser(
        prog="scdpo", description="Step-Controlled DPO: from a model and problems to a better model, with the evidence."
    )
    main_parser.add_argument("--version", action="version", version=f"scdpo {__version__}")
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
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
    for add in ALONE:
        add(commands)
    for name, command in commands.choices.items():
        if name == "run" or name in STAGE_HELP:
            command.add_argument(
                "--workers", type=int, metavar="N", help="worker processes (default: the usable cores; with a GPU 1)"
            )
        if name == "run" or name in EXECUTING:
            command.add_argument("--unsafe-no-isolation", action="store_true", help=UNSAFE_HELP)
        if name == "run" or name in BLOCKWISE:
            command.add_argument("--ray", nargs="?", const="auto", metavar="ADDRESS", help=RAY_HELP)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return main_parser


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


def take_overrides(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """--section.field value (or =value) as a table, and the other words. Raises RecipeError where a value is missing."""
    overrides: dict[str, str] = {}
    others: list[str] = []
    pending = list(words)
    while pending:
        word = pending.pop(0)
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in name:
            others.append(word)
        elif equals or pending:
            overrides[name] = value if equals else pending.pop(0)
        else:
            raise RecipeError(f"{word} has no value; give one after it")
    return overrides, others


def refuse_unknown(words: Sequence[str], options: Collection[str], alone: bool) -> None:
    """Raises RecipeError for the first of the words that the command does not know. options: those that it does."""
    if words:
        names = [option.replace("_", "-") for option in options]
        close = difflib.get_close_matches(words[0].removeprefix("--"), names, n=1)
        hint = "--help lists what it knows" if alone else "recipe fields are set as --section.field value"
        hint = f'did you mean "--{close[0]}"?' if close else hint
        raise RecipeError(f'do not know "{words[0]}"; {hint}')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 2 for an error that the user can mend, 130 for an interruption."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        overrides, others = take_overrides([word for word in words if word != "--debug"])  # wherever it stands
        known, unknown = parser().parse_known_args(others)
        alone = "act" in known and "takes_fields" not in known
        known.fields = overrides
        refuse_unknown([*unknown, *(f"--{name}" for name in overrides)] if alone else unknown, vars(known), alone)
        if getattr(known, "workers", None) is not None and known.workers < 1:
            raise RecipeError("--workers must be at least 1")
        if getattr(known, "ray", None) is not None:
            overrides["ray.address"] = known.ray
        return execute(known, overrides)
    except KeyboardInterrupt:
        print("\nscdpo: interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    except Exception as error:
        message = user_message(error)
        if debug or message is None:
            traceback.print_exc()
        if message is not None:
            print(f"scdpo: {message}", file=sys.stderr)
        return 2 if message is not None else 1


def user_message(error: BaseException) -> str | None:
    """The one line for an error that the user can mend; None for a defect of ours."""
    if isinstance(error, ScdpoError):
        return str(error)
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if full or any(sign in str(error) for sign in DISK_FULL):
        return "no room left on the disk; free some and run the same command again, it continues where it stopped"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {(error.strerror or str(error)).lower()}; check the path and its permissions"
    return None


def execute(known: argparse.Namespace, overrides: dict[str, str]) -> int:
    """Carry a parsed command out."""
    quiet_libraries(bars=getattr(known, "library_bars", False))
    share_cores()
    from rich.console import Console

    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and known.command not in LAUNCHED:
        raise RunError(f"scdpo {known.command} is for one process; accelerate launch is for: {', '.join(LAUNCHED)}")
    console = Console(highlight=False, soft_wrap=True, quiet=rank > 0)
    if "act" in known:
        known.act(known, console)
        return 0

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
        from scdpo.cli.credit import CreditWishes, credit_file, credit_run, refuse_misfits

        chosen = {field.name: getattr(known, field.name) for field in fields(CreditWishes)}
        wishes = CreditWishes(**chosen | {"models": tuple(known.models)})
        if known.file:
            credit_file(run, known.file, wishes, console)
            return 0
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
    return 0


def quiet_libraries(bars: bool) -> None:
    """Keep the libraries' notices out of ours, and their progress bars where the command does not want them."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # no line a retry: the error at their end says it
    if not bars:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("TQDM_DISABLE", "1")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")  # the workers'; what one library tells another
    warnings.filterwarnings("ignore", category=FutureWarning)


if __name__ == "__main__":
    sys.exit(main())
