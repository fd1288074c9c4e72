"""`scdpo init`: a commented recipe for a model and problems of one's own. Asks nothing; a field's comment is its own text."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from rich.console import Console

from scdpo.cli.fields import as_recipe
from scdpo.cli.files import written
from scdpo.cli.options import Shown
from scdpo.errors import RecipeError
from scdpo.problems.problem import Problem
from scdpo.problems.published import AFTER_HASHES, IN_A_BOX
from scdpo.problems.records import hub_name
from scdpo.problems.settings import Source
from scdpo.problems.source import GENERATORS, distinct, locate, read_source
from scdpo.run.recipe import Recipe, build_recipe, described_fields
from scdpo.settings import Settings

CHANGED = (
    "run.seed",
    "problems.(source|sft|pairs|dev|test)",
    "prompt.(template|chat)",
    "steps.format",
    "code.format",
    "model.(path|context)",
    "(sft|training|rft).(lr|epochs|batch|tokens_per_micro_batch|activation_checkpointing)",
    "training.(beta|lora.rank)",
    "engine.(kind|rows)",
    "sampling.max_(samples|new_tokens)",
    "fork.(forks_per_solution|attempts|further_samples)",
    "evaluation.max_new_tokens",
    "(credit|temperature).problems",
)
"""The fields that a recipe of one's own is likely to change, as patterns."""
TEST_SHARE, SFT_SHARE, MOST_TESTED, MOST_TOKENS = 5, 3, 2000, 2048
"""A fifth of the problems is held out, of the rest a third is for SFT where all have worked solutions; and the most of both."""


class Init(Settings):
    """Write a commented recipe for a model and problems of yours, to be changed where you want it otherwise.

    Example: scdpo init --model ./my-model --problems problems.jsonl --out mine.toml; scdpo run mine.toml
    The problem file has one JSON object a line, as {"question": "What is 3 + 4?", "answer": 7}, and with a worked solution
    "solution", one step a line (docs/problems.md).
    """

    model: Annotated[str, Shown("MODEL")]
    """A model's folder, a GGUF file or a hub name (model.path)."""
    problems: Annotated[Source, Shown("SOURCE")]
    """A JSON-lines file, or a published set as gsm8k (problems.source)."""
    out: Annotated[str, Shown("FILE")] = "mine.toml"
    """The recipe to write; a new file."""
    code: Literal["none", "blocks", "fences"] = "none"
    """The form of solutions that run code (docs/code.md)."""
    chat: bool = False
    """Ask through the model's chat template: for instruct models."""


def init(options: Init, console: Console) -> None:
    """Write the recipe, after it was read again and its problems were cut. Raises RecipeError, ProblemError, ModelError."""
    out = Path(options.out).expanduser()
    if out.exists():
        raise RecipeError(f"{out} is there already; name a new file with --out")
    values = values_of(options)
    text = recipe_text(values, options, str(out))
    recipe = build_recipe(tomllib.loads(text), str(out), {})
    has_template = check(recipe)
    with written(str(out)) as write:
        write(text)
    console.print(f"recipe: {out}; it says what each field means", markup=False)
    if has_template is None:
        console.print(f"{options.model} is not a folder here: the run looks for it on the hub.", markup=False)
    if has_template and not options.chat:
        console.print(
            "The model has a chat template and will be asked without it; an instruct model is best asked with --chat."
        )
    console.print(f"next: scdpo show prompt {out}; scdpo plan {out}; scdpo run {out} --smoke; scdpo run {out}", markup=False)


def values_of(options: Init) -> dict[str, Any]:
    """The fields that the model and the problems say something of, by path."""
    context = min(own_context(options.model) or Recipe().model.context, MOST_TOKENS)
    values: dict[str, Any] = {
        "problems.source": options.problems,
        "prompt.chat": options.chat,
        "code.format": "" if options.code == "none" else options.code,
        "model.path": options.model,
        "model.context": context,
        "sampling.max_new_tokens": context // 2,
        "evaluation.max_new_tokens": context // 2,
    }
    if is_file(options.problems):
        problems, held_out = read_source(options.problems)
        own = {"prompt.template": template_for(problems)} if locate(options.problems)[0] == "jsonl" else {}
        return values | counts(distinct(problems), bool(held_out)) | own
    if options.problems in GENERATORS:
        return values
    return values | {"problems.sft": 0, "problems.pairs": "all", "problems.dev": 0, "problems.test": 500}


def is_file(source: str) -> bool:
    """Whether problems lie in a file or folder here, or should: they are neither generated nor on the hub."""
    if source in GENERATORS:
        return False
    _, published, place = locate(source)
    return hub_name(place, published) is None


def own_context(model: str) -> int | None:
    """The most tokens that the model was made for; None where its config is not on this machine."""
    from scdpo.training.configs import find_config

    found = find_config(model)
    limit = found.fields.get("max_position_embeddings") if found else None
    return limit if isinstance(limit, int) else None


def counts(problems: Sequence[Problem], has_tests: bool) -> dict[str, Any]:
    """How many of a file's problems each purpose gets. has_tests: its test problems are files of their own."""
    test = min(MOST_TESTED, max(1, len(problems) // TEST_SHARE))
    rest = len(problems) - (0 if has_tests else test)
    sft = rest // SFT_SHARE if all(problem.solution for problem in problems) else 0
    return {"problems.sft": sft, "problems.pairs": "all", "problems.dev": 0, "problems.test": test}


def template_for(problems: Sequence[Problem]) -> str:
    """How to ask, so that answers come as the worked solutions state them."""
    solutions = [problem.solution for problem in problems if problem.solution]
    if solutions and all("\\boxed" in solution for solution in solutions):
        return IN_A_BOX
    return AFTER_HASHES if all("####" in solution for solution in solutions) else "{question}\n"


def recipe_text(values: Mapping[str, Any], options: Init, name: str) -> str:
    """The recipe with a comment a field."""
    lines = [
        f"# A recipe for {options.model} on {options.problems}, written by `scdpo init`. Change what you want otherwise.",
        "# What is left out has its default, the paper's value where the paper names one: `scdpo fields` lists all fields.",
        f"# Each can also be set for one run: scdpo run {name} --training.beta 0.5",
    ]
    likely = re.compile("|".join(CHANGED).replace(".", r"\."))
    fields = (field for field in described_fields() if likely.fullmatch(field.path))
    chosen = {path: json.dumps(value, ensure_ascii=False) for path, value in values.items()}
    named = (field._replace(default=chosen.get(field.path, field.default)) for field in fields)
    return "\n".join([*lines, "", as_recipe(named)])


def check(recipe: Recipe) -> bool | None:
    """Refuse what a run of the recipe would refuse, as far as this machine can tell: nothing is fetched from the hub. Returns
    whether the model has a chat template; None where the model is not here."""
    from scdpo.run.material import read_material, read_tokenizer

    is_own = is_file(str(recipe.problems.source))
    tokenizer = read_material(recipe, fetches=False).tokenizer if is_own else read_tokenizer(recipe, {}, fetches=False)
    return None if tokenizer is None else bool(getattr(tokenizer, "chat_template", None))
