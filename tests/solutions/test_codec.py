"""Tokens and steps: joined steps are the text, forks are token positions, kept ids are a prefix of the whole's."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scdpo.errors import ModelError
from scdpo.problems.stories import NAMES
from scdpo.solutions.codec import Codec
from scdpo.solutions.splitting import cut_windows

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=80)
LINES = st.lists(
    st.sampled_from(["48 / 2 = 24 clips.", "é漢字 🙂", "  so", "", "\t", "#### 72", "a  b", "$x$"]), max_size=8
).map("\n".join)
PIECES = [
    "So $x = 5$. ", "Then\n\\[ y = 2 \\]\n", "\n\n", "Step 1: add.\n", "Step 2: halve them.\n", "He has $5. ", "#### 72\n",
    "```python\nprint(1)\n```\n", "```output\n1\n```\n", "<|text|>a<|endofblock|>", "<|code|>b\n<|endofblock|>",
    "<|execution|>1<|endofblock|>", "因为3+4=7。", "The answer is: 7", "\\begin{align*}\na &= b \\\\\n\\end{align*}\n",
    "Dr. Li has 3.5 m. ",
]  # fmt: skip
SOLUTIONS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
STORY_LINES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.integers(0, 99), st.sampled_from("+-*/"), st.integers(0, 999)), max_size=8
)
QUIET = settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_steps(codec: Codec, text: str) -> None:
    """The invariants of a tokenized solution, for every place where it could be forked."""
    ids = codec.tokenizer(text, add_special_tokens=False)["input_ids"]
    unknown = codec.tokenizer.unk_token_id
    if unknown not in (None, codec.tokenizer.eos_token_id) and unknown in ids:
        return
    if codec.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) != text:
        with pytest.raises(ModelError, match="does not spell this text exactly"):
            codec.read(text)  # SmolLM2's vocabulary lacks a few bytes, of planes that Unicode has not filled
        return
    steps = codec.read(text)
    assert "".join(step.text for step in steps) == text
    assert [id for step in steps for id in step.ids] == ids
    windows = cut_windows(text)
    for fork in range(1, len(steps)):
        kept = sum(len(step.ids) for step in steps[:fork])
        assert codec.steps(ids, kept=kept) == steps[fork:]
        window = next(w for w in windows if w.start <= sum(len(step.text) for step in steps[:fork]) <= w.stop)
        assert not text[window.start : window.stop].strip()


TOKENIZERS = ("smollm2_tokenizer", "qwen_tokenizer", "mistral_tokenizer")


@pytest.fixture(scope="session", params=TOKENIZERS)
def codec(request):
    """Byte-level BPE of two kinds, and SentencePiece."""
    return Codec(request.getfixturevalue(request.param))


@QUIET
@given(text=ANY_TEXT | LINES | SOLUTIONS)
def test_steps_of_any_text(codec, text):
    check_steps(codec, text)


@QUIET
@given(lines=STORY_LINES, answer=st.integers(0, 999) | st.none())
def test_steps_of_story_like_texts(story_codec, lines, answer):
    text = "".join(f"{name}: {a} {operator} {b} = {a}\n" for name, a, operator, b in lines)
    check_steps(story_codec, text + ("" if answer is None else f"#### {answer}"))


@QUIET
@given(ids=st.lists(st.integers(0, 31_999), max_size=40), kept=st.integers(0, 40))
def test_any_generated_ids_can_be_read(codec, ids, kept):
    """Whatever a model generates, its steps hold exactly the ids, and their texts add up, even inside characters."""
    whole = codec.steps(ids)
    assert [id for step in whole for id in step.ids] == ids
    assert "".join(step.text for step in whole) == codec.spell(ids).text
    boundaries = [sum(len(step.ids) for step in whole[:fork]) for fork in range(len(whole) + 1)]
    kept = boundaries[kept % len(boundaries)]
    rest = codec.steps(ids, kept=kept)
    assert [id for step in rest for id in step.ids] == ids[kept:]


def test_worked_stories_are_cut_at_their_lines(story_codec, story_problems):
    for problem in story_problems[:50]:
        steps = story_codec.read(problem.solution)
        assert [step.text.strip() for step in steps] == problem.solution.split("\n")
        assert [step.kind for step in steps] == ["text"] * (len(steps) - 1) + ["answer"]


def test_temperatures_belong_to_the_steps_first_tokens(story_codec, story_problems):
    steps = story_codec.read(story_problems[0].solution)
    ids = [id for step in steps for id in step.ids]
    kept = len(steps[0].ids)
    temperatures = [1.1] * len(steps[1].ids) + [1.15] * (len(ids) - kept - len(steps[1].ids))
    sampled = story_codec.steps(ids, temperatures, kept=kept)
    assert [step.temperature for step in sampled] == [1.1] + [1.15] * (len(steps) - 2)


def test_unknown_words_are_refused(story_codec):
    with pytest.raises(ModelError, match="no token for a part of"):
        story_codec.read("xyz 1 + 1 = 2")
    with pytest.raises(ModelError, match="no token"):
        story_codec.prompt("What of the zebras?")


def test_a_template_needs_the_question(story_tokenizer):
    with pytest.raises(ModelError, match="question"):
        Codec(story_tokenizer, "Solve this:")


def test_the_prompt_has_what_the_tokenizer_puts_in_front(story_codec, story_problems):
    ids = story_codec.prompt(story_problems[0].question)
    tokenizer = story_codec.tokenizer
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids[1:]) == story_problems[0].question + "\n"


@pytest.mark.parametrize("question", [r"What is \frac{1}{2} of {8}?", "A set {question} and {}, {0}"])
def test_braces_in_a_question_stay(smollm2_tokenizer, question):
    """LaTeX in a question is not a format string, and a question that names the place is not filled again."""
    codec = Codec(smollm2_tokenizer, "Q: {question}\nA:")
    assert smollm2_tokenizer.decode(codec.prompt(question)) == f"Q: {question}\nA:"
