"""The paper's systems as recipes: their settings are those of its tables, field by field, and their smokes go through."""

import copy

import pytest

from scdpo.cli.main import main
from scdpo.errors import RecipeError
from scdpo.marks import BLOCK_END, MESSAGE_END, TEXT
from scdpo.run.recipe import flat_fields, load_recipe, packaged_recipes
from scdpo.solutions.prompting import Prompter
from scdpo.training.known_configs import CONFIGS
from scdpo.training.tiny import CHATML

TABLE = {  # paper, table of settings: format, SFT (lr, epochs, context), lr, epochs, beta, context, batch
    "mistral-7b-ours": ("blocks", (1e-5, 3, 2048), 1e-7, 2, 0.1, 1024, 64),
    "metamath-mistral-7b": ("", None, 1e-7, 2, 0.5, 2048, 64),
    "mathcoder-mistral-7b": ("blocks", (1e-5, 3, 2048), 1e-7, 2, 0.1, 1024, 64),
    "internlm2-20b": ("blocks", (1e-5, 3, 2048), 1.5e-7, 2, 0.1, 1024, 64),
}
OTHERS = {  # section 3.1, Eq. 3 to 5, and "other settings of the authors' runs"
    "run.seed": 42,
    "run.preset": "",
    "sampling.temperature": 1.0,
    "sampling.max_samples": 100,
    "sampling.banned": ["error", "apolog"],
    "fork.ramp.start": 1.1,
    "fork.ramp.increment": 0.05,
    "fork.ramp.maximum": 1.4,
    "fork.choice": "uniform",
    "training.loss.kind": "sigmoid",
    "training.loss.label_smoothing": 0.0,
    "training.loss.sft": 0.0,
    "training.loss.naive_weight": 1.0,
    "training.loss.step_controlled_weight": 1.0,
    "training.lora.rank": 0,
}
OF_TRAININGS = {
    "schedule": "cosine",
    "warmup": 0.1,
    "optimizer": "adamw",
    "precision": "auto",  # on GPUs the paper's bfloat16 (test_precision.py)
    "activation_checkpointing": True,
    "batch": 64,
}
CURRENT = ("qwen2.5-math-1.5b", "qwen2.5-math-7b")


@pytest.mark.parametrize("name", TABLE)
def test_settings_are_the_papers(name):
    form, sft, lr, epochs, beta, context, batch = TABLE[name]
    recipe = load_recipe(name)
    training = recipe.training
    assert recipe.code.format == form
    assert (training.lr, training.epochs, training.beta, training.batch) == (lr, epochs, beta, batch)
    assert recipe.context_of(training) == context
    if sft:
        assert (recipe.sft.lr, recipe.sft.epochs, recipe.context_of(recipe.sft)) == sft
    else:
        assert recipe.problems.sft == 0
    fields = flat_fields(recipe)
    trainings = ("training", "sft") if sft else ("training",)
    expected = OTHERS | {f"{section}.{field}": value for section in trainings for field, value in OF_TRAININGS.items()}
    assert {path: fields[path] for path in expected} == expected


@pytest.mark.parametrize("name", ["mistral-7b-ours", "mathcoder-mistral-7b", "internlm2-20b"])
def test_prompt_of_code_is_the_scripts_chat(name):
    """Each turn is a role's mark, a block of text, and the end of the message; the solution begins after the last role."""
    recipe = load_recipe(name)
    system, user, assistant = recipe.prompt.template.split(MESSAGE_END)
    assert system.startswith(f"<|system|>{TEXT}") and system.endswith(BLOCK_END)
    assert user == f"<|user|>{TEXT}{{question}}{BLOCK_END}"
    assert assistant == "<|assistant|>"
    assert set(recipe.prompt.special_tokens) == {"<|system|>", "<|user|>", "<|assistant|>"}


@pytest.mark.parametrize("name", CURRENT)
def test_current_models_train_adapters(name):
    recipe = load_recipe(name)
    assert recipe.training.lora.rank > 0 and recipe.rft.lora.rank > 0
    assert recipe.problems.sft == 0
    assert recipe.model.context <= CONFIGS[recipe.model.path]["max_position_embeddings"]


@pytest.mark.parametrize("name", ["qwen2.5-math-1.5b", "qwen2.5-math-7b"])
def test_prompt_of_a_chat_model_is_its_cards(name, qwen_tokenizer):
    """Qwen2.5-Math's model card: this system message, in ChatML's turns."""
    recipe, tokenizer = load_recipe(name, {}), copy.copy(qwen_tokenizer)
    tokenizer.chat_template = CHATML
    assert Prompter(tokenizer, recipe.prompt.template, recipe.prompt.as_chat).text("What is 1 + 1?") == (
        "<|im_start|>system\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n"
        "<|im_start|>user\nWhat is 1 + 1?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_trainings_context_is_bounded_by_the_models():
    with pytest.raises(RecipeError, match=r"training.context is 4096 and model.context, which bounds it, 2048"):
        load_recipe("mistral-7b-ours", {"training.context": "4096"})


@pytest.mark.slow
@pytest.mark.parametrize("name", packaged_recipes())
def test_every_smoke_goes_through(name, tmp_path, capsys):
    """The command itself refuses a smoke without both kinds of pairs, all four models, and right and wrong answers."""
    assert main(["run", name, "--smoke", "--out", str(tmp_path / "smoke"), "--workers", "1"]) == 0
    assert "the smoke went through every stage" in capsys.readouterr().out
