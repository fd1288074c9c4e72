"""The stand-in of a smoke: a tiny random model of the recipe's architecture that was taught the form of the smoke's solutions.

Knows recipes and problems; which architecture is which is tiny's work.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scdpo.errors import ModelError
from scdpo.problems.problem import Problem
from scdpo.run.prompts import codec_of, new_marks
from scdpo.run.recipe import Recipe
from scdpo.seeds import derive_seed
from scdpo.solutions.prompting import Prompter
from scdpo.solutions.settings import PromptSettings
from scdpo.solutions.solution import Solution
from scdpo.solutions.verdict import Verdict
from scdpo.training.settings import OptimizerSettings
from scdpo.training.tiny import STAND_INS, Architecture, find_architecture, tiny_model, tiny_tokenizer

VOCABULARY = 320
"""Tokens that the stand-in's tokenizer learns, besides bytes and marks."""
LONGER = 1.5
"""How much longer than the longest worked solution a sampled one may be."""
TEACHING = OptimizerSettings(lr=1e-2, epochs=5, batch=8, beta2=0.95, threads=1)
"""How the random model is taught the form of solutions."""


def smoke_tokenizer(recipe: Recipe, prompt: str, problems: Sequence[Problem]) -> tuple[Any, Architecture | None]:
    """A tokenizer of the recipe's kind over the problems' texts, and its model's architecture; None for a new model, which
    needs no stand-in. Raises ModelError where nothing is known of the model."""
    from scdpo.training.scratch import CODE_ERRORS, make_tokenizer

    texts = [text for p in problems for text in (prompt.replace("{question}", p.question), p.solution or "")]
    marks = new_marks(recipe)
    path = recipe.model.path
    if not path:
        return make_tokenizer([*texts, *CODE_ERRORS], recipe.model.context, marks), None
    architecture = find_architecture(recipe.model.place)
    if architecture is None:
        raise ModelError(
            f'nothing is known of the architecture of "{path}": its config.json is not on this machine; fetch it with '
            f"hf download {path} config.json"
        )
    return tiny_tokenizer(architecture.tokenizer, texts, marks, VOCABULARY, recipe.prompt.chat), architecture


def fit_lengths(table: dict[str, Any], tokenizer: Any, problems: Sequence[Problem]) -> dict[str, Any]:
    """The recipe's fields with lengths that the problems need under the tokenizer."""
    prompt = PromptSettings(**table["prompt"])
    prompter = Prompter(tokenizer, prompt.template, prompt.as_chat)
    count = lambda text: len(tokenizer(text)["input_ids"])  # noqa: E731
    longest = max(count(problem.solution or "") for problem in problems)
    most = round(LONGER * longest)
    context = max(len(prompter.ids(problem.question)) for problem in problems) + most + 1
    table["model"]["context"] = context
    table["sampling"]["max_new_tokens"] = table["evaluation"]["max_new_tokens"] = most
    for section in ("sft", "rft", "training"):
        table[section]["context"] = context if table[section]["context"] else 0
    return table


def make_stand_in(
    recipe: Recipe, tokenizer: Any, architecture: Architecture, lessons: Sequence[Problem], place: Path
) -> tuple[Recipe, str]:
    """The smoke's recipe with the stand-in for its model, made in place/model where it is not there yet; and what it is."""
    from scdpo.training.job import TrainingJob
    from scdpo.training.train import train_sft

    folder = place / "model"
    model = tiny_model(architecture.config, tokenizer, derive_seed(recipe.run.seed, "stand-in"))
    if not folder.is_dir():
        codec = codec_of(recipe, tokenizer)
        worked = [(p.question, Solution(codec.read(p.solution or ""), Verdict("correct"))) for p in lessons]
        job = TrainingJob(
            name="a stand-in of scdpo",
            settings=TEACHING,
            codec=codec,
            context=recipe.model.context,
            folder=folder,
            log=place / "teaching.jsonl",
            seed=derive_seed(recipe.run.seed, "teaching"),
            facts={"stands in for": recipe.model.path},
        )
        train_sft(job, model, worked)
    size = sum(weights.numel() for weights in model.parameters())
    what = type(model).__name__
    if architecture.model_type in STAND_INS:
        what += f" (transformers has no class for {architecture.model_type}, which differs in the packing of its weights)"
    note = f"a random {what} of {size:,} parameters with a tokenizer of the kind {architecture.tokenizer}"
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"path": str(folder)})}), note
