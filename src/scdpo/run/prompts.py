"""How a run's problems are asked, and the tokenizer that it starts with: before there is a model of it.

Knows recipes and problems; no run directory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scdpo.marks import MARKS
from scdpo.problems.problem import Problem
from scdpo.problems.source import Split, prompt_template
from scdpo.run.recipe import Recipe
from scdpo.solutions.codec import Codec
from scdpo.solutions.prompting import PLACE, Prompter


def prompt_of(recipe: Recipe) -> str:
    """The prompt template: the recipe's own, or that of its problems' source."""
    return recipe.prompt.template or prompt_template(recipe.problems.source)


def codec_of(recipe: Recipe, tokenizer: Any) -> Codec:
    """The codec of a tokenizer with the prompt, the step format and the code format of the recipe."""
    return Codec(tokenizer, prompt_of(recipe), recipe.steps.format, recipe.code, recipe.prompt.as_chat)


def check_prompts(recipe: Recipe, tokenizer: Any, splits: Mapping[Split, Sequence[Problem]]) -> None:
    """Refuse a prompt that the tokenizer cannot serve, or that doubles what its questions hold. Raises ModelError."""
    prompter = Prompter(tokenizer, prompt_of(recipe), recipe.prompt.as_chat)
    for problems in splits.values():
        prompter.refuse_wrapped(problems)


def new_marks(recipe: Recipe) -> tuple[str, ...]:
    """What becomes a token of its own, where the tokenizer does not have it: the marks of the code format and of the prompt."""
    return (*(MARKS if recipe.code.format == "blocks" else ()), *recipe.prompt.special_tokens)


def starting_tokenizer(recipe: Recipe, problems: Iterable[Problem]) -> tuple[Any, int]:
    """(the tokenizer that SFT on these problems works with, how many tokens the model has to learn for it): the given model's,
    with the recipe's marks, or one of the problems' own words. Raises ModelError."""
    from scdpo.training.model_files import load_tokenizer
    from scdpo.training.scratch import CODE_ERRORS, add_marks, make_tokenizer

    settings, worked = recipe.model, list(problems)
    marks = new_marks(recipe)
    if settings.path:
        tokenizer = load_tokenizer(settings.place, settings.trust_remote_code)
        return tokenizer, add_marks(tokenizer, marks) if worked else 0
    prompts = (prompt_of(recipe).replace(PLACE, problem.question) for problem in worked)
    texts = [*prompts, *(problem.solution or "" for problem in worked), *(CODE_ERRORS if recipe.code.format else ())]
    return make_tokenizer(texts, settings.context, marks), 0
