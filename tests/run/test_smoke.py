"""Smokes: what of a recipe stays and what goes, and the stand-ins that they are made of."""

from itertools import islice, pairwise
from typing import get_args

import pytest

from scdpo.errors import ModelError, RunError
from scdpo.grading.grade import grade
from scdpo.problems.guesses import ANSWERS, guesses
from scdpo.run.recipe import flat_fields, load_recipe
from scdpo.run.smoke import FEW, FIXED, check_smoke, prepare_smoke, smoke_table
from scdpo.run.stand_in import smoke_tokenizer
from scdpo.solutions.code_format import FORMATS
from scdpo.solutions.codec import Codec
from scdpo.solutions.settings import CodeSettings
from scdpo.solutions.splitting import StepFormat
from scdpo.training.known_configs import CONFIGS
from scdpo.training.tiny import shrunk, tiny_model, tiny_tokenizer

SIZES = {
    *FEW,
    *FIXED,
    "sampling.max_new_tokens",
    "evaluation.max_new_tokens",
    "model.context",
    "temperature.temperatures",
}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("form", get_args(StepFormat))
def test_guesses_are_solutions_in_their_format(form, language):
    """Graded right against their own answer, wrong against the other; of several steps; about half of them each."""
    made = list(islice(guesses(3, form, "box", language), 200))
    assert len({problem.question for problem in made}) == 200
    assert 60 < sum(problem.answer == ANSWERS[0] for problem in made) < 140
    for problem in made[:10]:
        text = problem.solution
        prose = FORMATS[form].prose(text) if form in FORMATS else text
        other = next(answer for answer in ANSWERS if answer != problem.answer)
        assert grade(prose, problem.answer, full_text=True, finish="end").is_correct
        assert grade(prose, other, full_text=True, finish="end").is_wrong


@pytest.mark.parametrize("form", ["blocks", "fences"])
def test_outputs_in_guesses_are_what_their_code_prints(form, capsys):
    for problem in islice(guesses(1, form), 20):
        session: dict = {}
        pieces = list(FORMATS[form].pieces(problem.solution))
        assert [piece.kind for piece in pieces].count("code") == 2
        for code, output in pairwise(pieces):
            if code.kind == "code":
                exec(code.inner, session)
                assert capsys.readouterr().out.strip() == output.inner.strip()


@pytest.mark.parametrize("name", CONFIGS)
def test_shrunk_configs_keep_what_makes_the_class(name):
    config, small = CONFIGS[name], shrunk(CONFIGS[name])
    assert small["num_attention_heads"] // small["num_key_value_heads"] == (
        config["num_attention_heads"] // config["num_key_value_heads"]
    )
    for field in ("tie_word_embeddings", "rope_theta", "model_type", "sliding_window"):
        assert small.get(field) == config.get(field)
    tokenizer = tiny_tokenizer("byte-level", ["a b c"] * 3, (), 10, chat=False)
    model = tiny_model(config, tokenizer, 0)
    assert model.num_parameters() < 2_000_000
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == config["tie_word_embeddings"]
    assert (model.model.layers[0].self_attn.q_proj.bias is not None) == (config["model_type"] == "qwen2")


@pytest.mark.parametrize("kind", ["sentencepiece", "byte-level"])
def test_tokenizers_spell_every_solution(kind):
    """Texts that were not learned from too, by bytes; a mark is one token; a begin-of-sequence only where the kind has one."""
    marks = ("<|text|>", "<|code|>", "<|execution|>", "<|endofblock|>", "<|endofmessage|>")
    made = list(islice(guesses(2, "blocks", "box", "zh"), 40))
    tokenizer = tiny_tokenizer(kind, [text for p in made for text in (p.question, p.solution)], marks, 200, chat=True)
    codec = Codec(tokenizer, "{question}\n", code=CodeSettings(format="blocks"))
    for text in (made[0].solution, "<|text|>Ünïcode: ≤ 12345  两个\n\tspaces<|endofblock|>"):
        assert "".join(step.text for step in codec.read(text)) == text
    assert all(len(tokenizer(mark, add_special_tokens=False)["input_ids"]) == 1 for mark in marks)
    first = tokenizer("abc")["input_ids"][0]
    assert (first == tokenizer.bos_token_id) == (kind == "sentencepiece")
    assert "assistant" in tokenizer.apply_chat_template(
        [{"role": "user", "content": "?"}], tokenize=False, add_generation_prompt=True
    )


@pytest.mark.parametrize("name", ["mistral-7b-ours", "internlm2-20b", "qwen2.5-math-1.5b"])
def test_what_is_no_size_stays(name):
    """Only sizes, the engine and the model's code change before problems and model do."""
    recipe = load_recipe(name)
    table, _ = smoke_table(recipe)
    before, after = flat_fields(recipe), flat_fields(type(recipe).model_validate(table))
    assert {path for path in before if before[path] != after[path]} <= SIZES


def test_a_model_that_nobody_knows_is_named(tmp_path):
    recipe = load_recipe("mistral-7b-ours", {"model.path": "nobody/nothing"})
    with pytest.raises(ModelError, match=r'architecture of "nobody/nothing".*hf download nobody/nothing config.json'):
        smoke_tokenizer(recipe, "{question}", [])


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match="holds something else than a smoke"):
        prepare_smoke(str(tmp_path), "mistral-7b-ours", {})
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_smoke_is_prepared_once_and_shows_nothing_before_it_ran(tmp_path):
    """The same command goes on with the same stand-in; a run without pairs is told, not passed over."""
    run, replaced = prepare_smoke(str(tmp_path / "smoke"), "internlm2-20b", {"training.beta": "0.3"})
    assert run.recipe.training.beta == 0.3 and run.recipe.training.lr == 1.5e-7
    assert any("LlamaForCausalLM" in line for line in replaced)
    weights = (tmp_path / "smoke" / "stand-in" / "model" / "model.safetensors").stat().st_mtime_ns
    again, _ = prepare_smoke(str(tmp_path / "smoke"), "internlm2-20b", {"training.beta": "0.3"})
    assert again.recipe == run.recipe
    assert (tmp_path / "smoke" / "stand-in" / "model" / "model.safetensors").stat().st_mtime_ns == weights
    assert {problem.language for problem in run.evaluation_problems} == {"en", "zh"}
    assert {problem.set for problem in run.evaluation_problems} == {"gsm8k", "math", "ape210k", "cmath", "mgsm_zh"}
    other, _ = prepare_smoke(str(tmp_path / "smoke"), "internlm2-20b", {"training.beta": "0.2"})
    assert other.recipe.training.beta == 0.2, "nothing was made with the other one"
    run.round(1).trees.path.write_text("")
    run.round(1).answers("sft").path.parent.mkdir()
    run.round(1).answers("sft").path.write_text("")
    with pytest.raises(RunError, match="shows too little: 0 naive pairs, 0 step-controlled pairs, 0 trained models"):
        check_smoke(run)
