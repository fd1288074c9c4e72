"""The command `scdpo`: finds the command, reads its options, carries it out, and turns errors into one line with the cure."""

from __future__ import annotations

import argparse
import difflib
import errno
import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from scdpo import __version__
from scdpo.cli.run import LAUNCHED, add_stages
from scdpo.cores import share_cores
from scdpo.errors import DISK_FULL, RunError, ScdpoError, UsageError, about_file

# How the libraries say that the disk is full: Python and Rust, and torch.save.
SAID_FULL = ("No space left on device", "os error 28", "PytorchStreamWriter failed writing", "unexpected pos")
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
READER_LEFT = 141
"""The exit status of a command whose output goes into `head`: what the shell says of one that is ended by SIGPIPE."""
EVERYWHERE = {
    "--debug": "show the traceback of an error",
    "--quiet": "print nothing but warnings and errors; files are written as ever",
    "--verbose": "also print what is logged for developers, and the notices of the libraries",
}
"""What all commands take, wherever it stands."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command by its name (`show prompt`: a part of `show`). options: its settings class; act: its function, of these options
    and a console. Both as module:name, and imported when the command is asked for. bars: the libraries may show theirs.
    """

    name: str
    help: str
    options: str
    act: str
    bars: bool = False

    def carry_out(self, known: argparse.Namespace, console: Any) -> None:
        from scdpo.cli.options import read_options

        load_named(self.act)(read_options(known, load_named(self.options), known.fields), console)


COMMANDS = (
    Command("init", "write a commented recipe for a model and problems of yours", "init:Init", "init:init"),
    Command("recipes", "list the packaged recipes", "recipes:Recipes", "recipes:list_recipes"),
    Command("fields", "list the recipe fields with defaults and meaning", "fields:ListFields", "fields:list_fields"),
    Command("show recipe", "a packaged recipe, with its comments", "recipes:ShowRecipe", "recipes:show_recipe"),
    Command("show prompt", "a prompt, token by token", "show_prompt:ShowPrompt", "show_prompt:show_prompt"),
    Command("check", "what of a recipe would be refused, and what is worth a look", "check:Check", "check:check"),
    Command("plan", "what a recipe costs: memory, hours, disk; what does not fit", "plan:Plan", "plan:plan_recipe"),
    Command("compare", "set finished runs side by side, seeds pooled", "compare:Compare", "compare:compare"),
    Command("grade", "grade the answers in a JSON-lines file", "grade:Grade", "grade:grade"),
    Command("steps", "show solutions with their steps and forks", "steps:Steps", "steps:show_steps"),
    Command("execute", "run the code blocks in a JSON-lines file, in isolation", "execute:Execute", "execute:execute"),
    Command("doctor", "whether code can be run in isolation on this machine", "doctor:Doctor", "doctor:doctor"),
    Command("import", "preference pairs of other tools as solution trees", "import_pairs:Import", "import_pairs:import_pairs"),
    Command("export", "a run's pairs as another tool reads them", "export_pairs:Export", "export_pairs:export_pairs"),
    Command("merge", "add LoRA adapters into their base model", "merge:Merge", "merge:merge"),
    Command("push", "upload a run's model, pairs and page to the hub", "push:Push", "push:push", bars=True),
    Command("lm-eval-task", "a run's evaluation for lm-evaluation-harness", "lm_eval:LmEvalTask", "lm_eval:lm_eval_task"),
    Command("completion", "completion by the tab key", "completion:Completion", "completion:complete"),
)
"""The commands that need no run, or only read some."""
GROUPS = {"show": "show a recipe, or its prompt, before anything is spent"}


def docs_folder() -> Path:
    """Where the pages lie that messages and helps name (docs/...): in an installed package, or beside it in a clone."""
    package = Path(__file__).parents[1]
    return package / "docs" if (package / "docs").is_dir() else package.parents[1] / "docs"


def load_named(place: str) -> Any:
    """What `module:name` names, the module being one of this room."""
    module, _, name = place.partition(":")
    return getattr(import_module(f"scdpo.cli.{module}"), name)


def parser(words: Sequence[str], everything: bool = False) -> argparse.ArgumentParser:
    """The parser, with the options of the command that the words ask for, or of all. Raises UsageError for no command."""
    main_parser = argparse.ArgumentParser(
        prog="scdpo",
        description="Step-Controlled DPO: from a model and problems to a better model, with the evidence.",
        epilog=f"scdpo COMMAND --help says more of each. The quickstart: scdpo run\nThe pages docs/...: {docs_folder()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    main_parser.add_argument("--version", action="version", version=f"scdpo {__version__}")
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_stages(commands)
    groups: dict[str, Any] = {}
    for command in COMMANDS:
        group, _, part = command.name.rpartition(" ")
        if group and group not in groups:
            made = commands.add_parser(group, help=GROUPS[group], description=f"{GROUPS[group].capitalize()}.")
            groups[group] = made.add_subparsers(dest="part", required=True, metavar="PART")
        parts = groups[group] if group else commands
        text = f"{command.help[0].upper()}{command.help[1:]}."
        own = parts.add_parser(part, help=command.help, description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
        if everything or list(words[: 1 + bool(group)]) == command.name.split():
            fill(own, command)
    for own in (*commands.choices.values(), *(part for parts in groups.values() for part in parts.choices.values())):
        for option, text in EVERYWHERE.items():
            own.add_argument(option, action="store_true", help=text)
    first = words[0] if words else ""
    refuse_unknown_name(first, commands.choices)
    if first in groups and len(words) > 1:
        refuse_unknown_name(words[1], groups[first].choices, f"{first} ")
    return main_parser


def fill(own: argparse.ArgumentParser, command: Command) -> None:
    """Give a command what its settings class says."""
    from scdpo.cli.options import FIELDS, add_options

    options = load_named(command.options)
    own.description = inspect.getdoc(options)
    add_options(own, options)
    own.set_defaults(act=command.carry_out, library_bars=command.bars)
    if FIELDS in options.model_fields:
        own.set_defaults(takes_fields=True)


def refuse_unknown_name(word: str, names: Collection[str], before: str = "") -> None:
    """Raises UsageError for a word that should be a command and is none."""
    if word and not word.startswith("-") and word not in names:
        close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
        hint = f'did you mean "{close[0]}"?' if close else f"there are: {', '.join(names)}"
        raise UsageError(f'no command "{before}{word}"; {hint}')


def take_overrides(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """--section.field value (or =value) as a table, and the other words. Raises UsageError where a value is missing."""
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
            raise UsageError(f"{word} has no value; give one after it")
    return overrides, others


def refuse_unknown(words: Sequence[str], options: Collection[str], alone: bool) -> None:
    """Raises UsageError for the first of the words that the command does not know. options: those that it does."""
    if words:
        names = [option.replace("_", "-") for option in options]
        close = difflib.get_close_matches(words[0].removeprefix("--"), names, n=1)
        hint = "--help lists what it knows" if alone else "recipe fields are set as --section.field value"
        hint = f'did you mean "--{close[0]}"?' if close else hint
        raise UsageError(f'do not know "{words[0]}"; {hint}')


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, 1 for a defect of ours, 2 for an error that the user can mend, 130 for an
    interruption, 141 where nobody reads the output any more."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    everywhere = {option.removeprefix("--"): option in words for option in EVERYWHERE}
    try:
        overrides, others = take_overrides([word for word in words if word not in EVERYWHERE])
        known, unknown = parser(others).parse_known_args(others)
        vars(known).update(everywhere, fields=overrides, words=words)
        alone = "act" in known and "takes_fields" not in known
        refuse_unknown([*unknown, *(f"--{name}" for name in overrides)] if alone else unknown, vars(known), alone)
        if "act" not in known and getattr(known, "workers", None) is not None and known.workers < 1:
            raise UsageError("--workers must be at least 1")
        if getattr(known, "ray", None) is not None:
            overrides["ray.address"] = known.ray
        status = execute(known, overrides)
    except KeyboardInterrupt:
        print("\nscdpo: interrupted; run the same command again to continue", file=sys.stderr)
        status = 130
    except SystemExit:  # of --help and of argparse's own errors
        if reader_left():
            return READER_LEFT
        raise
    except Exception as error:
        if isinstance(error, BrokenPipeError) and reader_left("\n"):
            return READER_LEFT
        message = user_message(error)
        if everywhere["debug"] or message is None:
            traceback.print_exc()
        if message is not None:
            print(f"scdpo: {message}", file=sys.stderr)
        status = 2 if message is not None else 1
    return READER_LEFT if reader_left() else status


def reader_left(probe: str = "") -> bool:
    """Whether nobody reads our output any more, as after `| head`; what is left of it then goes nowhere, without a word.
    probe: what to write after a write has failed: its text is lost, so that only another can tell."""
    try:
        print(probe, end="", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def user_message(error: BaseException) -> str | None:
    """The one line for an error that the user can mend; None for a defect of ours. A file that is not there is the user's to
    mend where it is one of the user's (errors.users_file); a full disk and a lack of rights are, whatever the file."""
    if isinstance(error, ScdpoError):
        return str(error)
    full = isinstance(error, OSError) and error.errno in DISK_FULL
    if full or any(sign in str(error) for sign in SAID_FULL):
        return "no room left on the disk; free some and run the same command again, it continues where it stopped"
    if isinstance(error, OSError) and error.filename is not None and error.errno in NOT_ALLOWED:
        return about_file(error)
    return None


def execute(known: argparse.Namespace, overrides: dict[str, str]) -> int:
    """Carry a parsed command out."""
    if not known.verbose:
        quiet_libraries(bars=getattr(known, "library_bars", False))
    share_cores()
    from rich.console import Console

    from scdpo.cli.logs import terminal_log

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to main, which knows the exit status."""
            raise

    rank, processes = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and known.command not in LAUNCHED:
        raise RunError(f"scdpo {known.command} is for one process; accelerate launch is for: {', '.join(LAUNCHED)}")
    console = Terminal(highlight=False, soft_wrap=True, quiet=rank > 0 or known.quiet)
    with terminal_log(known.verbose):
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
