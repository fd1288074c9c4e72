"""`scdpo steps FILE`: solutions with their steps, the kinds of these, and where they may be forked."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import Field
from rich.console import Console
from rich.text import Text

from scdpo.cli.options import Shown
from scdpo.errors import ProblemError, users_file
from scdpo.jsonlines import read_json_lines
from scdpo.problems.jsonl import SOLUTION_FIELDS
from scdpo.settings import Settings
from scdpo.solutions.codec import Codec
from scdpo.solutions.solution import Solution, Step
from scdpo.solutions.splitting import StepFormat, cut_windows, detect_format, step_kind
from scdpo.solutions.verdict import Verdict

FIELDS = (*SOLUTION_FIELDS, "answer")
COLOURS = {"text": "cyan", "code": "magenta", "answer": "green"}


class Steps(Settings):
    """Show solutions with their steps, the kinds of these (text, code, answer), and where they may be forked.

    docs/steps.md has the formats.
    """

    file: Annotated[str, Shown(is_positional=True)]
    """A text file with one solution, or a .jsonl file with one a line."""
    format: StepFormat = "auto"
    """How to cut (default: by what the text shows)."""
    field: Annotated[str | None, Shown("FIELD")] = None
    """The field of a .jsonl file that holds the solution (default: the first likely one)."""
    line: int | None = None
    """Only the solution on line N of a .jsonl file."""
    most: int = Field(10, ge=0)
    """The most solutions to show."""
    tokenizer: Annotated[str | None, Shown("MODEL")] = None
    """A model's folder or hub name: forks as its tokens allow them, and where they lie among them."""


def show_steps(options: Steps, console: Console) -> None:
    """Print the solutions of a file, step by step. Raises ProblemError."""
    format, most = options.format, options.most
    solutions = list(read_solutions(options.file, options.field, options.line))
    codec = make_codec(options.tokenizer, format) if options.tokenizer else None
    for name, text in solutions[:most]:
        print_solution(name, text, format, codec, console)
    if len(solutions) > most:
        console.print(f"{len(solutions) - most:,} more solutions; --line N shows one, --most N more")


def read_solutions(path: str, field: str | None, line: int | None) -> Iterator[tuple[str, str]]:
    """(where, text) of each solution in a file. Raises ProblemError for a file or line without one."""
    try:
        with users_file():
            if Path(path).suffix != ".jsonl":
                text = Path(path).expanduser().read_bytes().decode("utf-8")
                if not text.strip():
                    raise ProblemError(f"{path} is empty; give a file with a solution")
                yield path, text
                return
            found = False
            for entry in read_json_lines(path):
                if line is not None and entry.number != line:
                    continue
                if entry.record is None:
                    raise ProblemError(f"{entry.where}: {entry.flaw}")
                name = field or next((name for name in FIELDS if isinstance(entry.record.get(name), str)), None)
                value = entry.record.get(name) if name else None
                if not isinstance(value, str):
                    what = f'no text in field "{field}"' if field else f"no field {', '.join(FIELDS)} with a text"
                    raise ProblemError(f"{entry.where}: {what}; name the field with the solution with --field")
                found = True
                yield entry.where, value
            if not found:
                raise ProblemError(f"{path} has no line {line}" if line else f"{path} is empty; give a file with solutions")
    except UnicodeDecodeError as error:
        raise ProblemError(f"{path}: not UTF-8 text; save the file as UTF-8") from error


def make_codec(tokenizer: str, format: StepFormat) -> Codec:
    from scdpo.training.model_files import load_tokenizer

    return Codec(load_tokenizer(tokenizer), format=format)


def split(text: str, format: StepFormat, codec: Codec | None) -> Solution:
    """A text as a solution: by its tokens, or by its characters alone where there is no tokenizer."""
    if codec is not None:
        return Solution(codec.read(text), Verdict("undecided"))
    cuts = [0, *(window.stop for window in cut_windows(text, format)), len(text)]
    pieces = [text[start:stop] for start, stop in pairwise(cuts)]
    steps = (Step(piece, (), step_kind(piece, index == len(pieces) - 1)) for index, piece in enumerate(pieces))
    return Solution(tuple(steps), Verdict("undecided"))


def print_solution(name: str, text: str, format: StepFormat, codec: Codec | None, console: Console) -> None:
    """One solution: a numbered line a step, with kind, and a mark before each step that a fork may leave at."""
    solution = split(text, format, codec)
    used = format if format != "auto" else f"{detect_format(text) or 'one step'} (found)"
    forks = solution.forks
    console.print(Text(f"{name}: {len(solution.steps)} steps, format {used}, {len(forks)} forks", style="bold"))
    tokens = 0
    for number, step in enumerate(solution.steps, start=1):
        head = Text(f"{number:>3} ", style="bold")
        head.append(f"{step.kind:<6} ", style=COLOURS[step.kind])
        if codec is not None:
            tokens += len(step.ids)
            head.append(f"{len(step.ids):>4} tokens ", style="dim")
        body = step.text.rstrip()
        head.append(body.replace("\n", "\n" + " " * (head.cell_len)))
        console.print(head, soft_wrap=True)
        if number in forks:
            console.print(Text(f"    ── fork {number}" + (f", after token {tokens}" if codec else ""), style="yellow"))
    console.print()
