"""The command `scdpo`: parses, calls the stages, and turns errors into one line with the cure. Thin."""

from __future__ import annotations

import argparse
import difflib
import errno
import os
import sys
import traceback
import warnings
from collections.abc import Collection, Sequence

from scdpo import __version__
from scdpo.cli.bench_options import add_bench
from scdpo.cli.compare import add_compare
from scdpo.cli.exchange import add_export, add_import
from scdpo.cli.lm_eval import add_lm_eval_task
from scdpo.cli.plan import add_plan
from scdpo.cli.push import add_push
from scdpo.cli.run import LAUNCHED, add_stages
from scdpo.cli.show import add_show
from scdpo.cli.small import add_doctor, add_execute, add_fields, add_grade, add_merge, add_steps
from scdpo.cores import share_cores
from scdpo.errors import RecipeError, RunError, ScdpoError

# How the libraries say that the disk is full: Python and Rust, and torch.save.
DISK_FULL = ("No space left on device", "os error 28", "PytorchStreamWriter failed writing", "unexpected pos")
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


def parser() -> argparse.ArgumentParser:
    main_parser = argparse.ArgumentParser(
        prog="scdpo", description="Step-Controlled DPO: from a model and problems to a better model, with the evidence."
    )
    main_parser.add_argument("--version", action="version", version=f"scdpo {__version__}")
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_stages(commands)
    for add in ALONE:
        add(commands)
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return main_parser


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

    from scdpo.cli.run import carry_out

    carry_out(known, overrides, console, rank, processes)
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
