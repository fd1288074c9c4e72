"""`scdpo fields`, `recipes`, `show recipe` and `init`: what they print is a recipe again."""

import json
import re
import shutil
import tomllib

import pytest

from scdpo.cli.main import main
from scdpo.run.recipe import Recipe, build_recipe, described_fields, flat_fields, load_recipe, packaged_recipes, recipe_text
from scdpo.training.model_files import save_model
from scdpo.training.scratch import make_model
from scdpo.training.settings import ModelSettings

NEW = ModelSettings(width=16, layers=1, heads=2, feed_forward=32, context=256)


@pytest.mark.parametrize("field", described_fields(), ids=lambda field: field.path)
def test_every_printed_default_is_taken_as_an_override(field):
    """As it stands after --section.field, and gives the same recipe."""
    assert build_recipe({}, "r", {field.path: field.default}) == Recipe()


def test_the_printed_fields_are_a_recipe(capsys):
    """All of them are there, and a file of them is the recipe of the defaults."""
    assert main(["fields"]) == 0
    printed = capsys.readouterr().out
    assert build_recipe(tomllib.loads(printed), "r", {}) == Recipe()
    assert set(flat_fields(Recipe())) | {"prompt.chat_options"} == set(re.findall(r"^# ([\w.]+): ", printed, re.M))
    assert main(["fields", "training.lora"]) == 0
    assert tomllib.loads(capsys.readouterr().out) == {"training": {"lora": Recipe().training.lora.model_dump(mode="json")}}
    assert main(["fields", "beta2"]) == 0
    assert tomllib.loads(capsys.readouterr().out) == {name: {"beta2": 0.999} for name in ("sft", "training", "rft")}


def test_one_value_may_stand_for_a_list():
    """On the command line and in a file; a number for a list of numbers, too."""
    recipe = build_recipe({"run": {"arms": "scdpo"}}, "r", {"training.report_to": "wandb", "temperature.temperatures": "0.5"})
    assert recipe.training.report_to == ("wandb",) and recipe.run.arms == ("scdpo",)
    assert recipe.temperature.temperatures == (0.5,)


def test_recipes_are_listed_and_shown(capsys):
    """A line each, which is a sentence; what is shown is the file, and loads as the recipe."""
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == packaged_recipes()
    assert all(line.endswith(".") and len(line) < 150 for line in lines)
    assert main(["show", "recipe", "quickstart"]) == 0
    shown = capsys.readouterr().out
    assert shown == recipe_text("quickstart") and build_recipe(tomllib.loads(shown), "r", {}) == load_recipe("quickstart")


@pytest.fixture(scope="module")
def own(tmp_path_factory, story_problems, story_tokenizer):
    """A folder with ten problems and a tiny model."""
    folder = tmp_path_factory.mktemp("own")
    lines = ({"question": each.question, "answer": each.answer, "solution": each.solution} for each in story_problems[:10])
    (folder / "ten.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    save_model(make_model(NEW, story_tokenizer, 1), story_tokenizer, folder / "model", "")
    return folder


def test_init_writes_a_recipe_that_loads(own, tmp_path, capsys):
    """With a comment over each field, counts that the file has, lengths that the model takes, and the form of its answers."""
    out = tmp_path / "mine.toml"
    words = ["init", "--model", str(own / "model"), "--problems", str(own / "ten.jsonl"), "--out", str(out)]
    assert main(words) == 0
    assert f"scdpo run {out} --smoke" in capsys.readouterr().out
    recipe, lines = load_recipe(str(out)), out.read_text().splitlines()
    assert (recipe.problems.sft, recipe.problems.pairs, recipe.problems.test) == (2, "all", 2)
    assert (recipe.model.path, recipe.model.context, recipe.sampling.max_new_tokens) == (str(own / "model"), 256, 128)
    assert "after ####" in recipe.prompt.template and not recipe.prompt.chat
    fields = [number for number, line in enumerate(lines) if " = " in line and line[0] != "#"]
    assert len(fields) > 30 and all(lines[number - 1].startswith("# ") for number in fields)
    before = out.read_text()
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err and out.read_text() == before


def test_init_takes_what_is_not_here_as_it_is_named(tmp_path, capsys):
    """A model and problems of the hub: nothing is fetched, and the recipe says what the options say."""
    out = tmp_path / "r.toml"
    assert main(["init", "--model", "me/model", "--problems", "gsm8k", "--chat", "--code", "fences", "--out", str(out)]) == 0
    assert "me/model is not a folder here" in capsys.readouterr().out
    recipe = load_recipe(str(out))
    assert (recipe.problems.source, recipe.problems.pairs, recipe.model.path) == ("gsm8k", "all", "me/model")
    assert recipe.prompt.chat and recipe.prompt.template == "" and recipe.code.format == "fences"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--chat"], "has no chat template"),
        (["--problems", "{own}/gone.jsonl"], "cannot read problems from"),
        (["--model", "{own}/gone"], "no model folder at"),
        (["--problems", "{own}/unsolved.jsonl"], ""),
    ],
)
def test_init_refuses_what_a_run_would(options, message, own, tmp_path, capsys):
    """Problems without worked solutions are no reason: SFT is left out."""
    shutil.copy(own / "ten.jsonl", own / "unsolved.jsonl")
    text = (own / "ten.jsonl").read_text().splitlines()
    (own / "unsolved.jsonl").write_text("\n".join(json.dumps({**json.loads(line), "solution": None}) for line in text))
    out = tmp_path / "r.toml"
    words = ["--model", str(own / "model"), "--problems", str(own / "ten.jsonl"), "--out", str(out)]
    assert main(["init", *words, *(option.format(own=own) for option in options)]) == (2 if message else 0)
    error = capsys.readouterr().err
    assert (message in error and not out.exists()) if message else load_recipe(str(out)).problems.sft == 0
