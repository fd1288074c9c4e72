"""`scdpo show prompt`: a recipe's prompt as its model sees it, token by token, and which tokens of a solution are trained on.

Needs the tokenizer and the problems; loads no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from scdpo.cli.options import Fields, Shown
from scdpo.errors import ModelError
from scdpo.problems.problem import Problem
from scdpo.problems.source import SPLITS, Split, make_splits
from scdpo.run.recipe import Recipe, build_recipe, load_recipe
from scdpo.settings import Settings
from scdpo.solutions.codec import BROKEN, Codec
from scdpo.solutions.rendering import render_solution
from scdpo.solutions.solution import Solution
from scdpo.solutions.verdict import Verdict

TRAINED, SPECIAL, GIVEN = "bold green", "bold magenta", "dim"
UNDER = "▔"
VISIBLE = {" ": "·", "\n": "↵", "\t": "→", "\r": "␍"}


class ShowPrompt(Settings):
    """Show a prompt as the model sees it, token by token, what ends a solution, and which tokens are trained on.

    Recipe fields are set as --section.field value, to try them. See docs/prompts.md.
    """

    target: Annotated[str, Shown("RECIPE|RUN", is_positional=True)]
    """A packaged recipe, a TOML file or a run's folder."""
    question: Annotated[str | None, Shown("TEXT")] = None
    """Ask this (default: the first problem for pairs)."""
    fields: Fields = Field(default_factory=dict)
    """Fields of the recipe."""


def show_prompt(options: ShowPrompt, console: Console) -> None:
    """Print the prompt of a recipe, or of a run, for a question or for its first problem. Raises ScdpoError."""
    from scdpo.run.prompts import check_prompts, codec_of

    question = options.question
    recipe, tokenizer, splits, origin = asked(options.target, question, options.fields)
    check_prompts(recipe, tokenizer, splits)
    codec = codec_of(recipe, tokenizer)
    problem = next((p for split in ("pairs", "test", "sft") for p in splits[split]), None)
    text = question if question is not None else problem.question if problem else ""
    ids = codec.prompt(text)
    what = "yours" if question is not None or problem is None else problem.id
    console.print(Text(f"{origin}; question: {what}\n", style="dim"))
    heading(console, "The prompt")
    console.print(marked_text(codec, ids))
    heading(console, f"Its {len(ids)} tokens")
    print_tokens(console, codec, ids)
    heading(console, "Facts")
    for name, fact in facts(recipe, codec, ids):
        console.print(Text(f"{name:<22}", style="bold").append(fact, style="not bold"))
    heading(console, "What is trained")
    worked = next((p for split in ("pairs", "sft") for p in splits[split] if p.solution), None)
    if worked is None:
        console.print("no problem comes with a worked solution: the model's own are trained on, in the same way")
    else:
        print_worked(console, codec, worked)


def asked(
    target: str, question: str | None, overrides: Mapping[str, str]
) -> tuple[Recipe, Any, Mapping[Split, Sequence[Problem]], str]:
    """(the recipe, its tokenizer, its problems, where the tokenizer is from)."""
    from scdpo.run.directory import RunDirectory
    from scdpo.run.prompts import starting_tokenizer
    from scdpo.training.model_files import load_tokenizer

    folder = Path(target).expanduser()
    if folder.is_dir():
        run = RunDirectory.open(folder)
        recipe = build_recipe(run.recipe.model_dump(mode="json"), str(folder / "recipe.toml"), overrides)
        splits: dict[Split, Sequence[Problem]] = {split: list(run.problems(split)) for split in SPLITS}
        model = run.round(1).model("sft")
        if model.is_dir():
            tokenizer = load_tokenizer(model, recipe.model.trust_remote_code)
            return recipe, tokenizer, splits, f"tokenizer: {model}"
    else:
        recipe = load_recipe(target, overrides)
        is_enough = question is not None and recipe.model.path  # a hub's problems may be out of reach
        splits = dict.fromkeys(SPLITS, ()) if is_enough else dict(make_splits(recipe.problems))
    tokenizer, new = starting_tokenizer(recipe, splits["sft"])
    origin = f"tokenizer: {recipe.model.path}" if recipe.model.path else "tokenizer: the words of the SFT problems"
    return recipe, tokenizer, splits, origin + (f" and {new} new tokens" if new else "")


def heading(console: Console, text: str) -> None:
    console.print(Text(f"\n{text}", style="bold underline" if console.is_terminal else ""))


def marked_text(codec: Codec, ids: Sequence[int]) -> Text:
    """The text of the ids, its special tokens coloured."""
    shown = Text()
    spelled = codec.spell(ids)
    special = [id in codec.tokenizer.added_tokens_decoder for id in ids]
    places = [0, *(start for start in spelled.starts[1:] if start is not None)]
    at = dict(zip((start for start in spelled.starts if start is not None), special, strict=False))
    for start, stop in zip(places, [*places[1:], len(spelled.text)], strict=True):
        shown.append(spelled.text[start:stop], style=SPECIAL if at.get(start) else "")
    return shown


def token_name(codec: Codec, id: int) -> str:
    """A token as it can be seen: with marks for white space; by the vocabulary where it is a part of a character."""
    piece = codec.piece(id)
    if not piece or BROKEN in piece:
        return str(codec.tokenizer.convert_ids_to_tokens(id))
    return "".join(VISIBLE.get(character, character) for character in piece)


def print_tokens(console: Console, codec: Codec, ids: Sequence[int], trained: Sequence[bool] = ()) -> None:
    """The tokens with their ids below them, as many columns as there is room; trained: those that are underlined."""
    lines: list[list[tuple[str, str, bool, str]]] = [[]]
    room = console.width
    for place, id in enumerate(ids):
        name, number, counts = token_name(codec, id), str(id), bool(trained) and trained[place]
        width = max(cell_len(name), len(number)) + 1
        if width > room and lines[-1]:
            lines.append([])
            room = console.width
        room -= width
        style = SPECIAL if id in codec.tokenizer.added_tokens_decoder else TRAINED if counts else GIVEN if trained else ""
        lines[-1].append((name + " " * (width - cell_len(name)), number.ljust(width), counts, style))
    for line in lines:
        console.print(Text.assemble(*((name, style) for name, _, _, style in line)))
        if any(counts for _, _, counts, _ in line):
            under = ((UNDER * len(name.rstrip()) if counts else "").ljust(len(number)) for name, number, counts, _ in line)
            console.print(Text("".join(under).rstrip(), style=TRAINED))
        console.print(Text("".join(number for _, number, _, _ in line).rstrip(), style="dim"))


def facts(recipe: Recipe, codec: Codec, ids: Sequence[int]) -> list[tuple[str, str]]:
    """What else is to be known of a prompt, by name."""
    tokenizer, prompter = codec.tokenizer, codec.prompter
    named = lambda id: f"{token_name(codec, id)} ({id})"  # noqa: E731
    form = "the tokenizer's chat template around " if prompter.chat is not None else "plain: "
    bos = tokenizer.bos_token_id
    begin = "the tokenizer has none"
    if bos is not None:
        count = ids.count(bos)
        where = "not in the prompt: the tokenizer does not add it" if not count else "once" if count == 1 else f"{count} times"
        repeats = ", with every turn" if count > 1 else ""
        begin = f"{named(bos)}, {where}{repeats}"
    stops = sorted(codec.end_ids - {codec.end_id})
    found = [
        ("form", f"{form}{prompter.template!r}"),
        ("beginning of sequence", begin),
        (
            "ends a solution",
            named(codec.end_id) + (f"; generation also ends at {', '.join(map(named, stops))}" if stops else ""),
        ),
        ("end of a sequence", named(tokenizer.eos_token_id)),
        ("steps", f"cut as {codec.format}" + ("; no code" if codec.code is None else "")),
    ]
    if codec.code is not None:
        marks = {"blocks": "<|endofblock|> behind <|code|>", "fences": "the line that closes ```python"}
        found.append(("stops for code at", marks[codec.code.name]))
    room = recipe.model.context - recipe.sampling.max_new_tokens
    fits = (
        f"{len(ids)} of at most {room} tokens (context {recipe.model.context}, {recipe.sampling.max_new_tokens} for a solution)"
    )
    return [*found, ("length", fits if len(ids) <= room else f"too long: {fits}")]


def print_worked(console: Console, codec: Codec, problem: Problem) -> None:
    """A worked solution, step by step, with its counted tokens underlined."""
    try:
        prompt = codec.prompt(problem.question)
        solution = Solution(codec.read(problem.solution or ""), Verdict("correct"))
    except ModelError as error:
        console.print(f"the worked solution of {problem.id} is left out: {error}", markup=False)
        return
    row = render_solution(problem.id, solution, prompt, codec.end_id, codec.counts_outputs)
    counted = set(row.trunk)
    trained = [place in counted for place in range(len(row))]
    own = sum(len(step.ids) for step in solution.steps)
    console.print(
        f"The worked solution of {problem.id}: {len(counted)} of {len(row)} tokens carry loss in SFT and RFT (underlined), "
        f"none of the {len(prompt)} of the prompt. In a pair that is forked after step k, only those after step k do.",
        markup=False,
    )
    place = len(prompt)
    for number, step in enumerate(solution.steps, start=1):
        fork = f", and fork {number} after it" if number in solution.forks else ""
        console.print(Text(f"step {number} ({step.kind}{fork})", style="yellow"))
        print_tokens(console, codec, step.ids, trained[place : place + len(step.ids)])
        place += len(step.ids)
    assert place == len(prompt) + own
    console.print(Text("end", style="yellow"))
    print_tokens(console, codec, row.ids[place:], trained[place:])
