"""What a recipe asks of its model, as far as config and tokenizer tell: no weights are loaded."""

from __future__ import annotations

from typing import Any

from scdpo.errors import ModelError
from scdpo.run.checks.finding import Finding
from scdpo.run.recipe import Recipe
from scdpo.training.configs import find_config
from scdpo.training.model_files import check_model, is_here


def model_findings(recipe: Recipe) -> list[Finding]:
    """A context that is longer than the model was made for: said. Longer than it looks back: refused, as the engine refuses it.
    Asks no network; knows nothing of a model that is not here."""
    try:
        found = find_config(recipe.model.place) if recipe.model.path else None
    except ModelError:  # told by who reads the whole model
        return []
    if found is None:
        return []
    config, context, findings = dict(found.fields), recipe.model.context, []
    config |= config.get("text_config") or {}
    made_for, window = config.get("max_position_embeddings"), config.get("sliding_window")
    if isinstance(made_for, int) and made_for < context:
        what = f"is {context}, and this model was made for {made_for} tokens; {made_for} or less is what it was trained on"
        findings.append(Finding("model.context", what))
    if isinstance(window, int) and window < context and config.get("use_sliding_window") is not False:
        what = f"is {context}, and this model looks back {window} tokens at most; set it to {window} or less"
        findings.append(Finding("model.context", what, refused=True))
    return findings


def plain_chat(recipe: Recipe, tokenizer: Any) -> list[Finding]:
    """A model with a chat template that is asked without it: said, as base models have templates too."""
    if recipe.prompt.chat or not getattr(tokenizer, "chat_template", None):
        return []
    what = "is false, and the tokenizer has a chat template; set it to true for an instruct model (docs/prompts.md)"
    return [Finding("prompt.chat", what)]


def unusable_model(recipe: Recipe) -> list[Finding]:
    """A model that is here, or should be, and cannot be read: refused."""
    if recipe.model.path and is_here(recipe.model.place):
        try:
            check_model(recipe.model.place, recipe.model.trust_remote_code)
        except ModelError as error:
            return [Finding("", str(error), refused=True)]
    return []


def unfetched(recipe: Recipe) -> list[Finding]:
    """A hub's model that is not here: said, as its tokenizer and template are looked at when a run has fetched it."""
    if not recipe.model.path or is_here(recipe.model.place):
        return []
    return [Finding("model.path", f"{recipe.model.place} is not on this machine; a run fetches it and checks its prompts then")]
