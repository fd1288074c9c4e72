"""Recipes: defaults, overrides, and what is said of fields that are not there."""

import tomllib

import pytest

from scdpo.errors import RecipeError
from scdpo.run.recipe import Recipe, described_fields, load_recipe, packaged_recipes


def test_the_resolved_recipe_gives_the_same_recipe_again(tmp_path):
    for name in packaged_recipes():
        recipe = load_recipe(name, {"fork.ramp.start": "1.0", "training.lr": "3e-5"})
        (tmp_path / "recipe.toml").write_text(recipe.to_toml())
        assert load_recipe(str(tmp_path / "recipe.toml")) == recipe


def test_defaults_are_the_papers():
    """Temperature 1, K = 100, the ramp 1.1 + 0.05 up to 1.4, beta 0.1, lr 1e-7, 2 epochs, batch 64, cosine, 10% warm-up."""
    recipe = Recipe()
    assert (recipe.sampling.temperature, recipe.sampling.max_samples) == (1.0, 100)
    assert (recipe.fork.ramp.start, recipe.fork.ramp.increment, recipe.fork.ramp.maximum) == (1.1, 0.05, 1.4)
    training = recipe.training
    assert (training.beta, training.lr, training.epochs, training.batch) == (0.1, 1e-7, 2, 64)
    assert (training.schedule, training.warmup, training.optimizer, recipe.run.seed) == ("cosine", 0.1, "adamw", 42)


def test_the_quickstart_keeps_the_papers_sampling():
    recipe = load_recipe("quickstart")
    assert recipe.fork.ramp == Recipe().fork.ramp
    assert recipe.sampling.temperature == 1.0
    assert recipe.fork.choice == "uniform"
    assert recipe.evaluation.split == "test"
    assert recipe.problems.test >= 2000


@pytest.mark.parametrize(
    ("overrides", "field", "value"),
    [
        ({"training.lr": "1e-5"}, ("training", "lr"), 1e-5),
        ({"problems.source": "gsm_symbolic"}, ("problems", "source"), "gsm_symbolic"),
        ({"problems.source": "./a b.jsonl"}, ("problems", "source"), "./a b.jsonl"),
        ({"sampling.banned": '["oops"]'}, ("sampling", "banned"), ("oops",)),
        ({"fork.ramp.maximum": "1.2"}, ("fork", "ramp"), None),
    ],
)
def test_overrides(overrides, field, value):
    recipe = load_recipe("quickstart", overrides)
    found = getattr(getattr(recipe, field[0]), field[1])
    assert found.maximum == 1.2 if value is None else found == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sampling]\ntemprature = 1.0\n", r'\[sampling\] has no field "temprature"; did you mean "temperature"\?'),
        ("[smapling]\ntemperature = 1.0\n", r'has no section "smapling"; did you mean "sampling"\?'),
        ("[fork.ramp]\nstrat = 1.0\n", r'\[fork.ramp\] has no field "strat"; did you mean "start"\?'),
        ('[training]\nlr = "fast"\n', r"\[training\] lr: input should be a valid number.*'fast'"),
        ("[training]\nlr = -1.0\n", r"\[training\] lr: input should be greater than 0"),
        ("[fork.ramp]\nstart = 2.0\n", "a ramp rises from start"),
        ("[training]\nbatch = true\n", r"\[training\] batch: input should be a valid number.*True"),
        (
            "[model]\ncontext = 512\n[evaluation]\nmax_new_tokens = 9\n",
            "sampling.max_new_tokens is 512 and model.context, .*; raise model.context",
        ),
        ("[model]\nheads = 5\n", "model.width is 96, no multiple of twice model.heads, 5"),
        ('[prompt]\ntemplate = "Q:"\n', 'prompt.template has no "{question}"'),
        ('[ray]\naddress = "quickstart"\n', r'address: input should be "auto" or an address with its port.*quickstart'),
        ("[ray]\ngpus = 1.5\n", r"gpus: input should be at most 1 or a whole number"),
        ("[training\n", "recipe .*toml: "),
    ],
)
def test_bad_recipes_name_the_field_and_the_cure(tmp_path, text, message):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(str(file))
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_overrides_name_the_option():
    with pytest.raises(RecipeError, match=r'--training.bta: no such field; did you mean "beta"\?'):
        load_recipe("quickstart", {"training.bta": "0.1"})
    with pytest.raises(RecipeError, match=r"--sampling.block.x: block is a field and has no fields of its own"):
        load_recipe("quickstart", {"sampling.block": "5", "sampling.block.x": "3"})
    with pytest.raises(RecipeError, match=r'no recipe "quikstart".*did you mean "quickstart"'):
        load_recipe("quikstart")


def test_every_field_has_a_description():
    fields = list(described_fields())
    assert len(fields) > 50
    assert all(text for _, _, text in fields)
    assert tomllib.loads(load_recipe("quickstart").to_toml())
