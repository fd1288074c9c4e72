"""The small commands that need no run: their options, which cost no import, and what each of them calls."""

from __future__ import annotations

import argparse
from typing import Any, get_args

from pydantic import ValidationError

from scdpo.cores import usable_cores
from scdpo.errors import RecipeError
from scdpo.sandbox.settings import SandboxSettings
from scdpo.solutions.splitting import FORMATS


def add_grade(commands: Any) -> None:
    text = "grade the answers in a JSON-lines file: correct, wrong or undecided, each with the rule and the reason"
    grade = commands.add_parser("grade", help=text, description=f"{text[0].upper()}{text[1:]}. See docs/grading.md.")
    grade.add_argument("file", help="JSON lines with a gold answer and a prediction each")
    grade.add_argument("--out", metavar="FILE", help="write each line back with verdict, extracted, rule and reason")
    grade.add_argument("--gold", metavar="FIELD", default="gold", help="the field of the gold answer (default: gold)")
    grade.add_argument("--prediction", metavar="FIELD", default="prediction", help="of the prediction (default: prediction)")
    grade.add_argument("--full-text", action="store_true", help="the prediction is a whole solution, not only its answer")
    grade.add_argument("--keep-going", action="store_true", help="name lines that cannot be graded, and grade the rest")
    grade.add_argument("--workers", type=int, metavar="N", help="worker processes (default: the usable cores)")
    grade.set_defaults(act=act_grade)


def act_grade(known: argparse.Namespace, console: Any) -> None:
    from scdpo.cli.grade import grade_file
    from scdpo.grading.files import LineGrader

    grader = LineGrader(known.gold, known.prediction, known.full_text)
    grade_file(known.file, known.out, grader, known.workers or usable_cores(), known.keep_going, console)


def add_steps(commands: Any) -> None:
    text = "show solutions with their steps, the kinds of these, and where they may be forked"
    steps = commands.add_parser("steps", help=text, description=f"{text[0].upper()}{text[1:]}. See docs/steps.md.")
    steps.add_argument("file", help="a text file with one solution, or a .jsonl file with one a line")
    steps.add_argument(
        "--format", choices=("auto", *FORMATS), default="auto", help="how to cut (default: by what the text shows)"
    )
    steps.add_argument("--field", help="the field of a .jsonl file that holds the solution (default: the first likely one)")
    steps.add_argument("--line", type=int, metavar="N", help="only the solution on line N of a .jsonl file")
    steps.add_argument("--most", type=int, metavar="N", default=10, help="the most solutions to show (default: 10)")
    steps.add_argument("--tokenizer", metavar="MODEL", help="a model's folder or hub name: forks as its tokens allow them")
    steps.set_defaults(act=act_steps)


def act_steps(known: argparse.Namespace, console: Any) -> None:
    from scdpo.cli.steps import show_steps

    show_steps(known.file, known.format, known.field, known.line, known.tokenizer, known.most, console)


def add_merge(commands: Any) -> None:
    text = "add LoRA adapters into their base model, as one plain model"
    merge = commands.add_parser("merge", help=text, description=f"{text[0].upper()}{text[1:]}. See docs/training.md.")
    merge.add_argument("adapter", help="a folder with adapters, as models/scdpo of a run with training.lora.rank")
    merge.add_argument("--out", metavar="DIR", required=True, help="where the merged model goes; a new folder")
    merge.add_argument("--base", metavar="MODEL", help="folder or hub name of the base (default: as recorded)")
    merge.add_argument("--trust-remote-code", action="store_true", help="run the modelling code that comes with the base")
    merge.set_defaults(act=act_merge)


def act_merge(known: argparse.Namespace, console: Any) -> None:
    from scdpo.cli.merge import merge_adapter

    merge_adapter(known.adapter, known.out, known.base, known.trust_remote_code, console)


def add_execute(commands: Any) -> None:
    text = "run the code blocks in a JSON-lines file, each line's in an isolated session of its own"
    run = commands.add_parser("execute", help=text, description=f"{text[0].upper()}{text[1:]}. See docs/sandbox.md.")
    run.add_argument("file", help='JSON lines with "id" and "blocks", a list of Python texts')
    run.add_argument("--out", metavar="FILE", help="where the outputs go (default: standard output)")
    for name, field in SandboxSettings.model_fields.items():
        kind: Any = field.annotation
        shown = "none" if field.default == () else field.default
        options: dict[str, Any] = {"default": field.default, "help": f"{field.description} (default: {shown})"}
        if kind is bool:
            options |= {"action": "store_true", "help": field.description}
        elif kind in (int, float):
            options |= {"type": kind, "metavar": "N"}
        elif choices := [choice for choice in get_args(kind) if isinstance(choice, str)]:
            options["choices"] = choices
        else:
            options |= {"nargs": "+", "metavar": "NAME"}
        run.add_argument(f"--{name.replace('_', '-')}", **options)
    run.set_defaults(act=act_execute)


def act_execute(known: argparse.Namespace, console: Any) -> None:
    from scdpo.cli.execute import execute_file

    chosen = {name: getattr(known, name) for name in SandboxSettings.model_fields}
    execute_file(known.file, known.out, settings_of(chosen), console)


def settings_of(chosen: dict[str, Any]) -> SandboxSettings:
    """The sandbox's settings as typed. Raises RecipeError for a value out of bounds."""
    try:
        return SandboxSettings(**chosen)
    except ValidationError as error:
        found = error.errors()[0]
        option = str(found["loc"][0]).replace("_", "-")
        raise RecipeError(f"--{option}: {found['msg'][0].lower()}{found['msg'][1:]}, but it is {found['input']!r}") from error


def add_doctor(commands: Any) -> None:
    text = "whether code can be run in isolation on this machine, layer by layer"
    commands.add_parser("doctor", help=text, description=f"Say {text}. See docs/sandbox.md.").set_defaults(act=act_doctor)


def act_doctor(known: argparse.Namespace, console: Any) -> None:
    from scdpo.cli.doctor import doctor

    doctor(console)


def add_fields(commands: Any) -> None:
    commands.add_parser("fields", help="list every recipe field with its default and meaning").set_defaults(act=act_fields)


def act_fields(known: argparse.Namespace, console: Any) -> None:
    from scdpo.run.recipe import described_fields

    for path, default, text in described_fields():
        print(f"{path} = {default!r}\n    {text}")
