"""A recipe in small, on any machine: a tiny random model of its architecture, through every stage, in seconds.

What the recipe says of prompt, formats, losses, rates, temperatures, adapters and precision stays; what costs time is
replaced: the model, the problems (guesses, which nobody can solve), counts, lengths. Shows that the recipe's parts
work together, and nothing of what it would come to.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from itertools import chain, islice
from itertools import count as count_up
from pathlib import Path
from typing import Any

from scdpo.errors import RunError
from scdpo.files import write_whole
from scdpo.problems.guesses import Ending, Form, Language, guesses
from scdpo.problems.problem import Problem
from scdpo.problems.settings import each_source
from scdpo.problems.source import GENERATORS, locate, set_labels
from scdpo.run.directory import RunDirectory
from scdpo.run.prepare import STAND_IN, prepare
from scdpo.run.prompts import prompt_of
from scdpo.run.recipe import Recipe, build_recipe, load_recipe
from scdpo.run.stand_in import fit_lengths, make_stand_in, smoke_tokenizer
from scdpo.solutions.solution import Solution

SFT, PAIRS, TEST, FEWEST, TAUGHT, FROM_SCRATCH = 48, 32, 24, 6, 160, 320
"""Problems for the SFT, for pairs, of all test sets, at least of each, for teaching the stand-in, and for a new model."""
FEW = {
    "run.rounds": 2,
    "sft.batch": 16,
    "rft.batch": 16,
    "training.batch": 16,
    "sft.tokens_per_micro_batch": 2048,
    "rft.tokens_per_micro_batch": 2048,
    "training.tokens_per_micro_batch": 2048,
    "engine.rows": 32,
    "sampling.max_samples": 16,
    "fork.attempts": 16,
    "fork.further_samples": 8,
    "credit.problems": 8,
    "temperature.problems": 8,
    "model.width": 64,
    "model.layers": 2,
    "model.heads": 4,
    "model.feed_forward": 128,
}
"""The most that is left of these fields."""
FIXED: dict[str, Any] = {
    "engine.kind": "transformers",
    "engine.threads": 1,
    "sft.threads": 1,
    "rft.threads": 1,
    "training.threads": 1,
    "rft.checkpoint_every": 4,
    "training.checkpoint_every": 4,
    "sampling.block": PAIRS // 2,
    "evaluation.block": 64,
    "problems.dev": 0,
    "ray.address": "",
    "sampling.trees": "",
    "sft.report_to": [],
    "rft.report_to": [],
    "training.report_to": [],
    "model.trust_remote_code": False,
}
TEMPERATURES = 3
SOURCES = ("source", "sft_source", "test_source")
"""The fields of [problems] that name where problems come from."""


def prepare_smoke(folder: str, name: str, overrides: Mapping[str, str]) -> tuple[RunDirectory, list[str]]:
    """The run of a recipe's smoke at `folder`, its stand-in made where it is not there yet; and what was replaced by what.

    Raises RecipeError, ModelError and RunError.
    """
    recipe = load_recipe(name, overrides)
    place = Path(folder).expanduser().absolute()
    if place.exists() and not (place / STAND_IN).is_dir() and any(place.iterdir()):
        raise RunError(f"{folder} holds something else than a smoke; name a new folder with --out")
    (place / STAND_IN).mkdir(parents=True, exist_ok=True)
    table, replaced = smoke_table(recipe)
    problems, lessons = smoke_problems(recipe, table)
    asked = [source for field in problems for source in each_source(getattr(recipe.problems, field))]
    for field, sets in problems.items():
        (place / STAND_IN / field).mkdir(exist_ok=True)
        labels = set_labels(each_source(getattr(recipe.problems, field)))
        files = [place / STAND_IN / field / f"{label}.jsonl" for label in labels]
        for file, made in zip(files, sets, strict=True):
            write_whole(file, "".join(json.dumps(problem.to_json(), ensure_ascii=False) + "\n" for problem in made))
        table["problems"][field] = [str(file) for file in files] if len(files) > 1 else str(files[0])
    everything = [problem for made in (*chain(*problems.values()), lessons) for problem in made]
    tokenizer, architecture = smoke_tokenizer(recipe, table["prompt"]["template"], everything)
    smoke = build_recipe(fit_lengths(table, tokenizer, everything), name, {})
    if architecture is not None:
        smoke, note = make_stand_in(smoke, tokenizer, architecture, lessons, place / STAND_IN)
        replaced.append(f"{recipe.model.path} by {note}")
    write_whole(place / STAND_IN / "recipe.toml", smoke.to_toml())
    return prepare(folder, str(place / STAND_IN / "recipe.toml"), {}), [
        *replaced,
        f"the problems of {', '.join(dict.fromkeys(asked))} by guesses, whose form can be learned and whose answers cannot",
    ]


def smoke_table(recipe: Recipe) -> tuple[dict[str, Any], list[str]]:
    """The recipe's fields with sizes that take seconds, and what was replaced beyond sizes."""
    table = recipe.model_dump(mode="json")
    replaced = []
    if recipe.engine.kind != "transformers":
        replaced.append(f'engine.kind "{recipe.engine.kind}" by the embedded engine')
    if recipe.model.trust_remote_code:
        replaced.append("the code that comes with the model by a class of transformers")
    for path, most in FEW.items():
        section, field = path.split(".")
        table[section][field] = min(table[section][field], most)
    for path, value in FIXED.items():
        section, field = path.split(".")
        table[section][field] = value
    if recipe.evaluation.split == "dev":
        table["problems"]["dev"] = TEST
    every = table["temperature"]["temperatures"]
    table["temperature"]["temperatures"] = every[:: -(-len(every) // TEMPERATURES)]
    for section in ("sft", "rft", "training"):
        if table[section]["lora"]["quantize"] and importlib.util.find_spec("bitsandbytes") is None:
            table[section]["lora"]["quantize"] = ""
            replaced.append(f"{section}.lora.quantize, for which bitsandbytes is not installed, by whole weights")
    return table, replaced


def smoke_problems(recipe: Recipe, table: dict[str, Any]) -> tuple[dict[str, list[list[Problem]]], list[Problem]]:
    """(guesses for each source of each field that names some, lessons for the stand-in), in the recipe's format and its sets'
    languages; `table` gets their counts and the recipe's own prompt."""
    settings, prompt = table["problems"], prompt_of(recipe)
    ending = ending_of(recipe.prompt.system + prompt)
    form: Form = recipe.code.format or recipe.steps.format
    worked = FROM_SCRATCH if not recipe.model.path else SFT if settings["sft"] else 0
    sources = {field: each for field in SOURCES if (each := each_source(getattr(recipe.problems, field)))}
    if not worked and sources.pop("sft_source", ()):
        settings["sft_source"] = ""
    tested = len(sources.get("test_source", ())) or 1
    tests = max(FEWEST, TEST // tested)
    settings |= {"sft": worked, "pairs": PAIRS, "test": tests}
    table["prompt"]["template"] = prompt
    apart = {"sft_source": worked, "test_source": tests * tested}
    counts = apart | {"source": PAIRS + settings["dev"] + sum(apart[field] for field in apart if field not in sources)}
    seeds = count_up()
    problems = {
        field: [
            list(islice(guesses(next(seeds), form, ending, language_of(source)), -(-counts[field] // len(each))))
            for source in each
        ]
        for field, each in sources.items()
    }
    spoken = sorted({language_of(source) for each in sources.values() for source in each})
    lessons = [
        problem
        for language in spoken
        for problem in islice(guesses(next(seeds), form, ending, language), TAUGHT // len(spoken))
    ]
    return problems, lessons


def ending_of(prompt: str) -> Ending:
    """How a prompt wants the answer stated."""
    return "box" if "boxed" in prompt else "hashes" if "####" in prompt else "words"


def language_of(source: str) -> Language:
    return "zh" if source not in GENERATORS and locate(source)[1].language == "zh" else "en"


def check_smoke(run: RunDirectory) -> str:
    """What a finished smoke shows, in words. Raises RunError where a stage had nothing to do: that shows nothing."""
    first = run.round(1)
    trees = [record.tree for record in first.read_trees() if record.tree]
    branches = [branch for tree in trees for branch in tree.branches]
    controlled = sum(branch.is_step_controlled for branch in branches)
    verdicts = [Solution.from_json(record).verdict for record in first.answers("sft")]
    ran = sum(step.output is not None and step.output.status == "ok" for tree in trees for step in tree.trunk.steps)
    found = {
        "naive pairs": len(branches) - controlled,
        "step-controlled pairs": controlled,
        "trained models": sum((first.model(arm) / "README.md").is_file() for arm in first.arms),
        "right answers": sum(verdict.is_correct for verdict in verdicts),
        "wrong answers": sum(verdict.is_wrong for verdict in verdicts),
    } | ({"pieces of code run": ran} if run.recipe.code.format else {})
    nothing = [what for what, count in found.items() if not count]
    if nothing or found["trained models"] < len(first.arms):
        raise RunError(f"the smoke in {run.path} went through, but shows too little: {described(found)}; please report it")
    return described(found)


def described(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in found.items())
