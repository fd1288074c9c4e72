"""`scdpo import FILE`: pairs of other tools as solution trees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from rich.console import Console

from scdpo.cli.files import written
from scdpo.cli.options import JsonFile, Shown
from scdpo.errors import ExchangeError, users_file
from scdpo.exchange.formats import IN_FORMATS
from scdpo.settings import Settings
from scdpo.solutions.splitting import StepFormat


class Import(Settings):
    """Read the preference pairs of other tools as solution trees, which a run can train on. See docs/exchange.md."""

    file: Annotated[str, Shown(is_positional=True)]
    """A .jsonl, .json or .parquet file, a folder of them, or a data set's name on the hub."""
    out: Annotated[str, Shown("FILE")]
    """Where the trees go: a .jsonl file, or a folder for one."""
    tokenizer: Annotated[str, Shown("MODEL")]
    """Folder or hub name of the model to be trained."""
    format: Annotated[str, Shown(choices=("auto", *IN_FORMATS))] = "auto"
    """What the rows are (default: by their fields)."""
    template: Annotated[str, Shown("TEXT")] = "{question}"
    """How prompts are written around {question}, to find it in them (default: a prompt is the question)."""
    steps: StepFormat = "auto"
    """How to cut into steps (docs/steps.md)."""
    code: Literal["none", "blocks", "fences"] | None = None
    """The form of solutions with code (default: blocks for the authors' data, else none)."""
    regrade: bool = False
    """Grade whole solutions by the file's gold answers; leave out pairs that are not right against wrong."""
    json_file: JsonFile = None
    """Write the counts to this file."""
    trust_remote_code: bool = False
    """Run the code that comes with the tokenizer."""


def import_pairs(options: Import, console: Console) -> None:
    """Import as asked, say what came of it, and how to train on it. Raises ExchangeError, ProblemError, ModelError."""
    from scdpo.exchange.growing import grow, import_figures, with_questions
    from scdpo.exchange.reading import read_pairs, recognised
    from scdpo.exchange.tree_file import tree_lines
    from scdpo.problems.published import PUBLISHED
    from scdpo.problems.records import read_records
    from scdpo.solutions.codec import Codec
    from scdpo.solutions.settings import CodeSettings
    from scdpo.training.model_files import load_tokenizer

    if "{question}" not in options.template:
        raise ExchangeError('--template has no "{question}"; put it where the question belongs')
    records = read_records(options.file, PUBLISHED["jsonl"])
    format = recognised(records, options.file) if options.format == "auto" else options.format
    code = {"none": "", None: IN_FORMATS[format].code}.get(options.code, options.code)
    settings = CodeSettings.model_validate({"format": code})
    tokenizer = load_tokenizer(options.tokenizer, options.trust_remote_code)
    codec = Codec(tokenizer, format=options.steps, code=settings)
    pairs, refused = read_pairs(records, format)
    growth = grow(with_questions(pairs, options.template), codec, options.regrade)
    growth.left_out.update(refused)
    figures = import_figures(growth, len(records))
    console.print(f"{options.file}: {format}", markup=False)
    for what, number in figures.items():
        console.print(f"{number:8,}  {what}", markup=False)
    if not growth.trees:
        raise ExchangeError(f"no pair of {options.file} could be imported; the reasons are above")
    out = Path(options.out).expanduser()
    file = out if out.suffix == ".jsonl" else out / "trees.jsonl"
    with users_file():
        file.parent.mkdir(parents=True, exist_ok=True)
    with written(str(file)) as write:
        for line in tree_lines(growth.trees):
            write(line)
    with written(options.json_file) as write:
        write(json.dumps({"format": format, **figures}, indent=2) + "\n")
    whole = all(tree.trunk.finish == "end" for tree in growth.trees)
    arms = json.dumps([*(["rft"] if whole else []), *(["dpo"] if growth.naive else []), "scdpo"])
    fields = f"--run.arms '{arms}'" + (f" --code.format {code}" if code else "")
    fields += f" --steps.format {options.steps}" if options.steps != "auto" and not code else ""
    console.print(f"Trees: {file}\nTrain on them: scdpo run RECIPE --sampling.trees {file} {fields}", markup=False)
