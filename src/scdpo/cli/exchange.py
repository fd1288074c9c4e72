"""`scdpo import FILE` and `scdpo export RUN`: pairs of other tools as trees, and trees as other tools read them."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from scdpo.exchange.tree_file import AskedTree
    from scdpo.run.directory import RunDirectory
    from scdpo.sampling.arms import Arm

IN_FORMATS = ("auto", "authors", "step-dpo", "trl", "llama-factory", "ms-swift")
OUT_FORMATS = ("trl", "trl-chat", "llama-factory", "openrlhf", "ms-swift", "parquet")
EXPORTED = ("scdpo", "dpo", "dpo-data-equal")


def add_import(commands: Any) -> None:
    text = "read the preference pairs of other tools as solution trees, which a run can train on"
    command = commands.add_parser("import", help=text, description=f"{text[0].upper()}{text[1:]}. See docs/exchange.md.")
    command.add_argument("file", help="a .jsonl, .json or .parquet file, a folder of them, or a data set's name on the hub")
    command.add_argument("--out", metavar="FILE", required=True, help="where the trees go: a .jsonl file, or a folder for one")
    command.add_argument("--tokenizer", metavar="MODEL", required=True, help="folder or hub name of the model to be trained")
    command.add_argument("--format", choices=IN_FORMATS, default="auto", help="what the rows are (default: by their fields)")
    text = "how prompts are written around {question}, to find it in them (default: a prompt is the question)"
    command.add_argument("--template", metavar="TEXT", default="{question}", help=text)
    command.add_argument(
        "--steps", metavar="FORMAT", default="auto", help="how to cut into steps (default: auto; docs/steps.md)"
    )
    text = "the form of solutions with code (default: blocks for the authors' data, else none)"
    command.add_argument("--code", choices=("none", "blocks", "fences"), help=text)
    text = "grade whole solutions by the file's gold answers; leave out pairs that are not right against wrong"
    command.add_argument("--regrade", action="store_true", help=text)
    command.add_argument("--json", metavar="FILE", help="write the counts to this file")
    command.add_argument("--trust-remote-code", action="store_true", help="run the code that comes with the tokenizer")
    command.set_defaults(act=act_import)


def act_import(known: argparse.Namespace, console: Console) -> None:
    """Import as asked, say what came of it, and how to train on it."""
    from pathlib import Path

    from scdpo.cli.files import written
    from scdpo.errors import ExchangeError
    from scdpo.exchange.formats import IN_FORMATS
    from scdpo.exchange.growing import grow, import_figures, with_questions
    from scdpo.exchange.reading import read_pairs, recognised
    from scdpo.exchange.tree_file import tree_lines
    from scdpo.problems.published import PUBLISHED
    from scdpo.problems.records import read_records
    from scdpo.solutions.codec import Codec
    from scdpo.solutions.settings import CodeSettings
    from scdpo.solutions.splitting import FORMATS
    from scdpo.training.model_files import load_tokenizer

    if "{question}" not in known.template:
        raise ExchangeError('--template has no "{question}"; put it where the question belongs')
    if known.steps not in ("auto", *FORMATS):
        raise ExchangeError(f'no step format "{known.steps}"; there are: auto, {", ".join(FORMATS)}')
    records = read_records(known.file, PUBLISHED["jsonl"])
    format = recognised(records, known.file) if known.format == "auto" else known.format
    code = {"none": "", None: IN_FORMATS[format].code}.get(known.code, known.code)
    settings = CodeSettings.model_validate({"format": code})
    tokenizer = load_tokenizer(known.tokenizer, known.trust_remote_code)
    codec = Codec(tokenizer, format=known.steps, code=settings)
    pairs, refused = read_pairs(records, format)
    growth = grow(with_questions(pairs, known.template), codec, known.regrade)
    growth.left_out.update(refused)
    figures = import_figures(growth, len(records))
    console.print(f"{known.file}: {format}", markup=False)
    for what, number in figures.items():
        console.print(f"{number:8,}  {what}", markup=False)
    if not growth.trees:
        raise ExchangeError(f"no pair of {known.file} could be imported; the reasons are above")
    out = Path(known.out).expanduser()
    file = out if out.suffix == ".jsonl" else out / "trees.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    with written(str(file)) as write:
        for line in tree_lines(growth.trees):
            write(line)
    with written(known.json) as write:
        write(json.dumps({"format": format, **figures}, indent=2) + "\n")
    whole = all(each.tree.trunk.finish == "end" for each in growth.trees)
    arms = json.dumps([*(["rft"] if whole else []), *(["dpo"] if growth.naive else []), "scdpo"])
    options = f"--run.arms '{arms}'" + (f" --code.format {code}" if code else "")
    options += f" --steps.format {known.steps}" if known.steps != "auto" and not code else ""
    console.print(f"Trees: {file}\nTrain on them: scdpo run RECIPE --sampling.trees {file} {options}", markup=False)


def add_export(commands: Any) -> None:
    text = "write a run's pairs, or a file of trees, as another tool reads them, with a data-set card"
    command = commands.add_parser("export", help=text, description=f"{text[0].upper()}{text[1:]}. See docs/exchange.md.")
    command.add_argument("trees", metavar="RUN", help="a run's folder, or a file that scdpo import wrote")
    command.add_argument("--format", choices=OUT_FORMATS, required=True, help="the tool that is to read it")
    command.add_argument("--out", metavar="DIR", required=True, help="a new folder")
    command.add_argument("--arm", choices=EXPORTED, default="scdpo", help="whose pairs, of a run (default: scdpo)")
    text = "the prompt around {question} (default: the run's; for a file the question alone, on a line)"
    command.add_argument("--template", metavar="TEXT", help=text)
    command.set_defaults(act=act_export)


def act_export(known: argparse.Namespace, console: Console) -> None:
    """Export as asked, and say what was written."""
    from pathlib import Path

    from scdpo import __version__
    from scdpo.errors import ExchangeError
    from scdpo.exchange.exporting import write_export
    from scdpo.exchange.tree_file import read_tree_file

    place, out = Path(known.trees).expanduser(), Path(known.out).expanduser()
    facts, texts = {"scdpo": __version__}, {}
    template = known.template or "{question}\n"
    if place.is_dir():
        from scdpo.run.directory import RunDirectory
        from scdpo.run.prompts import prompt_of

        run = RunDirectory.open(place)
        trees, template = run_trees(run, known.arm), known.template or prompt_of(run.recipe)
        facts |= run_facts(run, known.arm)
        texts["recipe.toml"] = run.recipe.to_toml()
    else:
        trees = list(read_tree_file(place))
        facts["trees"] = place.name
    if "{question}" not in template:
        raise ExchangeError('--template has no "{question}"; put it where the question belongs')
    facts["prompt"] = f"`{json.dumps(template, ensure_ascii=False)}`"
    kinds = write_export(out, known.format, trees, template, facts, texts)
    told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items())
    console.print(f"{out}: {told} pairs for {known.format}; {out / 'README.md'} says how to train on them", markup=False)


def run_trees(run: RunDirectory, arm: Arm) -> list[AskedTree]:
    """The trees that an arm of the first round trains on. Raises RunError where they are not all there."""
    from scdpo.errors import RunError
    from scdpo.exchange.tree_file import AskedTree
    from scdpo.sampling.arms import arm_trees

    current = run.round(1)
    if not current.trees.is_complete():
        raise RunError(f"{run.path} has not all its trees yet; run: scdpo fork {run.path}")
    samples = current.read_samples() if arm == "dpo-data-equal" else ()
    problems = {problem.id: problem for problem in run.pair_problems}
    return [AskedTree(problems[tree.problem], tree) for tree in arm_trees(arm, current.read_trees(), samples)]


def run_facts(run: RunDirectory, arm: str) -> dict[str, str]:
    """How a run's pairs were made, for the card."""
    from scdpo.problems.settings import each_source

    recipe, manifest = run.recipe, run.manifest()
    model = name_of(recipe.model.path) or "a model from scratch"
    sampled = (
        {"trees": name_of(recipe.sampling.trees)}
        if recipe.sampling.trees
        else {
            "naive samples": f"temperature {recipe.sampling.temperature:g}, at most {recipe.sampling.max_samples} a problem",
            "forks": f"{recipe.fork.choice}, ramp {recipe.fork.ramp.start:g} + {recipe.fork.ramp.increment:g} a step, at most "
            f"{recipe.fork.ramp.maximum:g}, {recipe.fork.attempts} attempts",
        }
    )
    return {
        "run": run.path.name,
        "recipe": "recipe.toml, beside this file",
        "arm": arm,
        "seed": str(recipe.run.seed),
        "problems": ", ".join(map(name_of, each_source(recipe.problems.source))),
        "SFT model": f"from {model}, fingerprint {manifest.get('fingerprints', {}).get('sft', 'unknown')}",
        **sampled,
    }


def name_of(place: str) -> str:
    """A source or model without the folders that it lies in here; names on the hub stay whole."""
    return place if place.count("/") == 1 and not place.startswith(("/", ".", "~")) else place.rpartition("/")[2]
