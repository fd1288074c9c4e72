"""Solutions with code as texts and as tokens: what is text, code and output, where generation stops, what is noise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdpo.errors import ModelError
from scdpo.marks import MARKS
from scdpo.solutions.code_format import FORMATS
from scdpo.solutions.codec import Codec
from scdpo.solutions.settings import CodeSettings
from scdpo.training.scratch import CODE_ERRORS, add_marks, make_tokenizer

BLOCKS = (
    "<|text|>Twice 21.<|endofblock|><|code|>x = 21 * 2\nprint(x)<|endofblock|><|execution|>42<|endofblock|>"
    "<|code|>x + 1<|endofblock|><|execution|>43<|endofblock|><|text|>#### 43<|endofblock|>"
)
FENCES = (
    "Twice 21.\n```python\nx = 21 * 2\nprint(x)\n```\n```output\n42\n```\nAnd one more:\n\n```python\nx + 1\n```\n"
    "```output\n43\n```\nThe answer is 43"
)
TEXTS = {"blocks": BLOCKS, "fences": FENCES}
CODES = ["x = 21 * 2\nprint(x)", "x + 1"]
PARTS = st.sampled_from([*MARKS, "```python\n", "```output\n", "```\n", "\n```", "x = 1", "\n", "1", " "])


@pytest.mark.parametrize("name", FORMATS)
@given(parts=st.lists(PARTS, max_size=12))
def test_pieces_joined_are_the_text(name, parts):
    text = "".join(parts)
    assert "".join(piece.whole for piece in FORMATS[name].pieces(text)) == text


@pytest.mark.parametrize("name", FORMATS)
def test_code_output_and_words(name):
    form = FORMATS[name]
    pieces = list(form.pieces(TEXTS[name]))
    assert [piece.inner.strip() for piece in pieces if piece.kind == "code"] == CODES
    assert [piece.inner.strip() for piece in pieces if piece.kind == "output"] == ["42", "43"]
    assert "42" not in form.prose(TEXTS[name]) and form.prose(TEXTS[name]).endswith("43")
    assert form.noise(TEXTS[name], 24, 3000) is None


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("printed", ["42", "", "a\nb", "Error: no", "  indented\n\nlines"])
def test_what_is_given_is_found_again(name, printed):
    """Code, then what is given for it, is one unit of which both parts come back: a replay compares them."""
    form = FORMATS[name]
    behind = (
        TEXTS[name][: TEXTS[name].index("42<" if name == "blocks" else "```output")].removesuffix("<|execution|>").rstrip("\n")
    )
    for written in (behind, behind + "\n" if name == "fences" else behind):
        assert form.open_code(written).strip() == CODES[0]
        step = written[written.index("<|code|>" if name == "blocks" else "```python") :] + form.given(printed, written)
        code, output = form.code_and_output(step)
        assert (code.strip(), output.strip("\n")) == (CODES[0], form.given(printed).strip("\n"))
        assert form.open_code(step) is None


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("blocks", "<|text|>a<|code|>b<|endofblock|>", "a marker inside a block"),
        ("blocks", "<|text|>a", "a marker inside a block"),
        ("blocks", "<|text|>It prints<|endofblock|><|execution|>4<|endofblock|>", "an output without code"),
        ("blocks", "<|text|>a<|endofblock|>" * 25, "over 24 blocks"),
        ("blocks", f"<|text|>{'a' * 3001}<|endofblock|>", "a block of over 3,000 characters"),
        ("fences", "It prints\n```output\n4\n```\n", "a marker inside a block"),
        ("fences", "```python\nprint(4)", "a marker inside a block"),
        ("fences", f"```python\n{'a' * 3001}\n```", "a block of over 3,000 characters"),
    ],
)
def test_noise_has_its_reason(name, text, reason):
    assert FORMATS[name].noise(text, 24, 3000) == reason


def codec_of(tokenizer, name) -> Codec:
    if name == "blocks":
        add_marks(tokenizer, MARKS)
    return Codec(tokenizer, code=CodeSettings(format=name))


@pytest.fixture(params=["smollm2_tokenizer", "mistral_tokenizer", "qwen_tokenizer"])
def tokenizer(request):
    """A copy: marks are added to it."""
    import copy

    return copy.deepcopy(request.getfixturevalue(request.param))


@pytest.mark.parametrize("name", FORMATS)
def test_ids_and_mask_are_made_together(tokenizer, name):
    """Joined steps are the text; each code step owns its output; exactly the output's ids are not the model's own."""
    codec = codec_of(tokenizer, name)
    steps = codec.read(TEXTS[name])
    assert "".join(step.text for step in steps) == TEXTS[name]
    assert [step.kind for step in steps if step.output] == ["code", "code"]
    assert sum(step.kind == "code" for step in steps) == 2
    for step, printed in zip([step for step in steps if step.output], ["42", "43"], strict=True):
        given = [id for id, written in zip(step.ids, step.written, strict=True) if not written]
        assert codec.follow(codec.code.given(printed)) == tuple(given)
        assert step.ids[step.output.start : step.output.stop] == tuple(given)
    assert all(all(step.written) for step in steps if step.output is None)


@pytest.mark.parametrize("name", FORMATS)
def test_generation_stops_where_code_ends_and_nowhere_else(tokenizer, name):
    """Of all prefixes of a written turn, only the one that ends in the code's closing mark stops, at a stop id."""
    codec = codec_of(tokenizer, name)
    (first, _), *_ = list(codec._turns(TEXTS[name]))
    ids = codec._opening(first)
    stops = [end for end in range(1, len(ids) + 1) if ids[end - 1] in codec.stop_ids and codec.closes_code(ids[:end])]
    assert stops == [len(ids)]


@pytest.mark.parametrize("name", FORMATS)
def test_steps_of_generated_ids_with_outputs(tokenizer, name):
    """Generated and given ids put together, in the places where they came, are cut into the same steps."""
    codec = codec_of(tokenizer, name)
    ids, outputs = [], []
    for written, given_text in codec._turns(TEXTS[name]):
        ids += codec.follow(written) if ids else codec._opening(written)
        given_ids = codec.follow(given_text) if given_text else ()
        outputs += [(len(ids), len(ids) + len(given_ids), "ok")] if given_text else []
        ids += given_ids
    assert codec.steps(ids, outputs=outputs) == codec.read(TEXTS[name])
    with pytest.raises(ModelError, match="lies across steps"):
        codec.steps(ids, outputs=[(0, len(ids), "ok")])


def test_a_tokenizer_without_the_marks_is_refused(smollm2_tokenizer):
    with pytest.raises(ModelError, match="adds them"):
        Codec(smollm2_tokenizer, code=CodeSettings(format="blocks"))


def test_the_small_tokenizer_spells_what_failing_code_prints():
    tokenizer = make_tokenizer([BLOCKS, *CODE_ERRORS], 64, MARKS)
    codec = Codec(tokenizer, code=CodeSettings(format="blocks"))
    assert "".join(step.text for step in codec.read(BLOCKS)) == BLOCKS
    assert codec.follow(codec.code.given(CODE_ERRORS[0]))
    assert codec.end_id == tokenizer.convert_tokens_to_ids("<|endofmessage|>")
    with pytest.raises(ModelError):
        codec.follow(codec.code.given("Überraschung"))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (FENCES.replace("\n", "\r\n"), True),
        (FENCES.removesuffix("\nThe answer is 43"), True),
        (FENCES.replace("print(x)\n```\n", "print(x)\n```  \n"), True),
        (FENCES.replace("```\n```output\n42", "```\n\n\n```output\n42"), False),
        (FENCES.replace("```\n```output\n42", "```\nOutput:\n```output\n42"), False),
    ],
)
def test_worked_solutions_have_their_outputs_known_or_are_refused(smollm2_tokenizer, text, right):
    """An output that could not be told from the model's own words would be trained on."""
    codec = Codec(smollm2_tokenizer, code=CodeSettings(format="fences"))
    if right:
        assert sum(step.output is not None for step in codec.read(text)) == 2
    else:
        with pytest.raises(ModelError, match="no solution in fences"):
            codec.read(text)


@pytest.mark.parametrize(("opener", "closer"), [("\\[ x", "y \\]"), ("$$ x", "y $$"), (r"\begin{align} x", r"y \end{align}")])
def test_mathematics_left_open_moves_no_code(smollm2_tokenizer, opener, closer):
    """Code is code wherever it stands: every output stays with its code, in a step of its own."""
    codec = Codec(smollm2_tokenizer, code=CodeSettings(format="fences"))
    text = FENCES.replace("Twice 21.", f"Set {opener}.").replace("And one more:", f"So {closer}")
    steps = codec.read(text)
    assert [step.kind for step in steps] == ["text", "code", "text", "code", "answer"]
    assert all(codec.code.code_and_output(step.text) for step in steps if step.kind == "code")


def test_the_end_mark_of_a_worked_solution_is_no_step():
    """Rendering adds it: it would stand there twice."""
    codec = Codec(make_tokenizer([BLOCKS], 64, MARKS), code=CodeSettings(format="blocks"))
    assert codec.read(BLOCKS + "<|endofmessage|>") == codec.read(BLOCKS)
