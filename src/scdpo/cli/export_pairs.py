"""`scdpo export RUN`: a run's pairs, or a file of trees, as other tools read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.console import Console

from scdpo import __version__
from scdpo.cli.options import Shown
from scdpo.errors import ExchangeError, RunError
from scdpo.exchange.exporting import write_export
from scdpo.exchange.formats import OUT_FORMATS
from scdpo.exchange.tree_file import read_tree_file
from scdpo.problems.settings import each_source
from scdpo.sampling.arms import Arm, arm_trees
from scdpo.settings import Settings
from scdpo.solutions.tree import SolutionTree

if TYPE_CHECKING:
    from scdpo.run.directory import RunDirectory

Exported = Literal["scdpo", "dpo", "dpo-data-equal"]


class Export(Settings):
    """Write a run's pairs, or a file of trees, as another tool reads them, with a data-set card. See docs/exchange.md."""

    trees: Annotated[str, Shown("RUN", is_positional=True)]
    """A run's folder, or a file that scdpo import wrote."""
    format: Annotated[str, Shown(choices=tuple(OUT_FORMATS))]
    """The tool that is to read it."""
    out: Annotated[str, Shown("DIR")]
    """A new folder."""
    arm: Exported = "scdpo"
    """Whose pairs, of a run."""
    template: Annotated[str | None, Shown("TEXT")] = None
    """The prompt around {question} (default: the run's; for a file the question alone, on a line)."""


def export_pairs(options: Export, console: Console) -> None:
    """Export as asked, and say what was written. Raises ExchangeError, RunError."""
    from scdpo.run.directory import RunDirectory
    from scdpo.run.prompts import prompt_of

    place, out = Path(options.trees).expanduser(), Path(options.out).expanduser()
    facts, texts = {"scdpo": __version__}, {}
    template = options.template or "{question}\n"
    if place.is_dir():
        run = RunDirectory.open(place)
        trees, template = run_trees(run, options.arm), options.template or prompt_of(run.recipe)
        facts |= run_facts(run, options.arm)
        texts["recipe.toml"] = run.recipe.to_toml()
    else:
        trees = list(read_tree_file(place))
        facts["trees"] = place.name
    if "{question}" not in template:
        raise ExchangeError('--template has no "{question}"; put it where the question belongs')
    facts["prompt"] = f"`{json.dumps(template, ensure_ascii=False)}`"
    kinds = write_export(out, options.format, trees, template, facts, texts)
    told = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items())
    console.print(f"{out}: {told} pairs for {options.format}; {out / 'README.md'} says how to train on them", markup=False)


def run_trees(run: RunDirectory, arm: Arm) -> list[SolutionTree]:
    """The trees that an arm of the first round trains on. Raises RunError where they are not all there."""
    current = run.round(1)
    if not current.trees.is_complete():
        raise RunError(f"{run.path} has not all its trees yet; run: scdpo fork {run.path}")
    samples = current.read_samples() if arm == "dpo-data-equal" else ()
    return arm_trees(arm, current.read_trees(), samples)


def run_facts(run: RunDirectory, arm: str) -> dict[str, str]:
    """How a run's pairs were made, for the card."""
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
