"""Prompts: the ids spell the text, the sequence begins once, and what doubles a mark or lacks one is refused with its cure."""

from __future__ import annotations

import copy

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from scdpo.errors import ModelError
from scdpo.problems.problem import Problem
from scdpo.solutions.codec import DECODING, Codec
from scdpo.solutions.prompting import WRITTEN, Chat, Prompter, chat_marks, end_ids
from scdpo.solutions.rendering import render_solution
from scdpo.solutions.solution import Solution
from scdpo.solutions.verdict import Verdict

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Mistral-7B-Instruct's, without its checks of who speaks when: it begins the sequence and knows no system message.
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ m['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
HEADLESS = CHATML.split("{% if add")[0]
# Control characters and the like may be dropped by a template's trim; what users ask is visible.
QUESTIONS = st.text(
    alphabet=st.characters(categories=("L", "N", "P", "Sm", "Zs"), exclude_characters="<|>[]{}"), min_size=1, max_size=40
)
QUIET = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


def with_template(tokenizer, template):
    """A copy of a tokenizer with a chat template."""
    other = copy.copy(tokenizer)
    other.chat_template = template
    return other


@pytest.fixture(scope="session")
def chat_tokenizers(smollm2_tokenizer, qwen_tokenizer, mistral_tokenizer):
    """Three kinds of published templates: a beginning-of-sequence token in every turn, none, and one by the tokenizer."""
    qwen, mistral = copy.deepcopy(qwen_tokenizer), copy.deepcopy(mistral_tokenizer)
    qwen.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    start = ("<s>", mistral.bos_token_id)
    mistral.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[start])
    qwen.chat_template, mistral.chat_template = CHATML, MISTRAL
    return {"smollm2": smollm2_tokenizer, "qwen": qwen, "mistral": mistral}


NAMES = ("smollm2", "qwen", "mistral")
FORMS = st.sampled_from([None, Chat(), Chat(answer_start="Answer:")])


@pytest.mark.parametrize("name", NAMES)
@QUIET
@given(question=QUESTIONS, chat=FORMS)
def test_prompt_and_solution_spell_the_text(chat_tokenizers, name, question, chat):
    """Decoded, the ids are the prompt's text, after at most one beginning-of-sequence token, and the solution."""
    tokenizer = chat_tokenizers[name]
    codec = Codec(tokenizer, "{question}\n", chat=chat)
    try:
        prompt, steps = codec.prompt(question), codec.read("1 + 2 = 3\n#### 3")
    except ModelError:
        return  # an unknown character, of tokenizers that cannot spell all
    row = render_solution("p", Solution(steps, Verdict("correct")), prompt, codec.end_id)
    text, bos = codec.prompter.text(question), tokenizer.bos_token
    assert question.strip() in text and row.ids[-1] == codec.end_id
    adds = tokenizer("1")["input_ids"][0] == tokenizer.bos_token_id
    assert adds == (name == "mistral")
    spelled = tokenizer.decode(row.ids[:-1], **DECODING)
    if adds:
        assert row.ids.count(tokenizer.bos_token_id) == 1 and row.ids[0] == tokenizer.bos_token_id
        text, spelled = text.removeprefix(bos), spelled.removeprefix(bos)
    # SentencePiece puts a space in front of a text and drops the first one of what it decodes.
    squeezed = (lambda words: words.replace(" ", "")) if name == "mistral" else (lambda words: words)
    assert squeezed(spelled) == squeezed(text + "1 + 2 = 3\n#### 3")
    assert tokenizer.bos_token_id is None or row.ids[:2] != (tokenizer.bos_token_id,) * 2


def test_what_templates_write_is_read_off(chat_tokenizers):
    smollm2, qwen, mistral = (chat_marks(chat_tokenizers[name]) for name in NAMES)
    assert (smollm2.user, smollm2.assistant, smollm2.end) == ("<|im_start|>user", "<|im_start|>assistant", "<|im_end|>")
    assert smollm2.repeats_bos and not mistral.repeats_bos
    assert qwen.end_id == chat_tokenizers["qwen"].convert_tokens_to_ids("<|im_end|>") != chat_tokenizers["qwen"].eos_token_id
    assert (mistral.user, mistral.assistant, mistral.end) == ("[INST]", "", "</s>")
    assert chat_marks(with_template(chat_tokenizers["qwen"], None)) is None


def test_a_chat_ends_as_its_turns_do(chat_tokenizers):
    """Qwen's sequences end in <|endoftext|> and its turns in <|im_end|>: a chat's solutions in the latter, sampling at both."""
    qwen = chat_tokenizers["qwen"]
    turn = qwen.convert_tokens_to_ids("<|im_end|>")
    assert Codec(qwen).end_id == qwen.eos_token_id and Codec(qwen, chat=Chat()).end_id == turn
    assert end_ids(qwen) == (qwen.eos_token_id, turn)
    assert Codec(qwen).end_ids == Codec(qwen, chat=Chat()).end_ids == {qwen.eos_token_id, turn}


def test_saved_models_end_where_their_chats_do(tiny_model, chat_tokenizers, story_tokenizer, tmp_path):
    from transformers import GenerationConfig

    from scdpo.training.model_files import save_model

    save_model(tiny_model, chat_tokenizers["qwen"], tmp_path / "chat", "")
    assert GenerationConfig.from_pretrained(tmp_path / "chat").eos_token_id == list(end_ids(chat_tokenizers["qwen"]))
    save_model(tiny_model, story_tokenizer, tmp_path / "plain", "")
    assert GenerationConfig.from_pretrained(tmp_path / "plain").eos_token_id == story_tokenizer.eos_token_id


def test_an_answer_start_and_a_system_message_are_given(chat_tokenizers):
    text = Prompter(chat_tokenizers["smollm2"], "Q: {question}\n", Chat("Be brief.", "Well,")).text("1 + 1?")
    assert text == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nQ: 1 + 1?<|im_end|>\n<|im_start|>assistant\nWell,"
    )


REFUSED = [
    ("smollm2", "<|im_start|>user\n{question}", Chat(), "chat template writes too"),
    ("smollm2", "{question}", Chat(answer_start="<|im_start|>assistant\n"), "twice in a row"),
    ("smollm2", "<|im_start|>user\n<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n", None, "twice in a row"),
    ("smollm2", "<|im_start|>user\n{question}<|im_end|>\n", None, "no header for the answer"),
    ("smollm2", "<|im_start|><|im_start|>{question}", None, "begins its sequence twice"),
    ("mistral", "<s>{question}", None, "take <s> out of"),
    ("mistral", "A\n<s>{question}", None, "take <s> out of"),
    ("mistral", "{question}", Chat("Be brief."), "leave prompt.system empty"),
    ("mistral", "Solve this.", None, "put it where the question belongs"),
]


@pytest.mark.parametrize(("name", "template", "chat", "message"), REFUSED)
def test_doubled_and_missing_marks_are_refused(chat_tokenizers, name, template, chat, message):
    with pytest.raises(ModelError, match=message):
        Prompter(chat_tokenizers[name], template, chat)


@pytest.mark.parametrize(("user", "answer"), WRITTEN)
def test_headers_need_no_chat_template(story_tokenizer, user, answer):
    """A tokenizer that knows of no chat: headers that a template has twice or lacks, or that a question brings."""
    Prompter(story_tokenizer, f"{user} {{question}} {answer}")
    refused = [
        (f"{user} {user} {{question}} {answer}", "twice in a row"),
        (f"{user} {{question}} {answer}\n{answer}", "twice in a row"),
    ]
    for template, message in [*refused, *[(f"{user} {{question}}", "no header for the answer")] * ("###" not in user)]:
        with pytest.raises(ModelError, match=message):
            Prompter(story_tokenizer, template)
    wrapped = [Problem("p-1", f"{user} 1 + 1? {answer}", "2")]
    with pytest.raises(ModelError, match="problem p-1: its question already holds"):
        Prompter(story_tokenizer, f"{user} {{question}} {answer}").refuse_wrapped(wrapped)
    Prompter(story_tokenizer, "{question}").refuse_wrapped(wrapped)


def test_a_chat_needs_a_template_that_asks(chat_tokenizers, story_tokenizer):
    with pytest.raises(ModelError, match="no chat template"):
        Prompter(story_tokenizer, chat=Chat())
    headless = with_template(chat_tokenizers["qwen"], HEADLESS)
    with pytest.raises(ModelError, match=r"begin prompt.answer_start with '<\|im_start\|>assistant\\n'"):
        Prompter(headless, chat=Chat())
    whole = Prompter(chat_tokenizers["qwen"], chat=Chat()).ids("1 + 1?")
    assert Prompter(headless, chat=Chat(answer_start="<|im_start|>assistant\n")).ids("1 + 1?") == whole


def test_options_reach_the_template(chat_tokenizers):
    template = CHATML.replace("assistant\n' }}", "assistant\n' }}{% if thinks is false %}{{ '<think></think>' }}{% endif %}")
    tokenizer = with_template(chat_tokenizers["qwen"], template)
    assert Prompter(tokenizer, chat=Chat(options={"thinks": False})).text("a").endswith("assistant\n<think></think>")
    assert Prompter(tokenizer, chat=Chat()).text("a").endswith("assistant\n")


def test_wrapped_questions_are_refused(chat_tokenizers):
    wrapped = [Problem("p-1", "1 + 1?", "2"), Problem("p-2", "<|im_start|>user\n1 + 1?<|im_end|>", "2")]
    with pytest.raises(ModelError, match=r'problem p-2: its question already holds "<\|im_start\|>user"'):
        Prompter(chat_tokenizers["qwen"], chat=Chat()).refuse_wrapped(wrapped)
    Prompter(chat_tokenizers["qwen"], "{question}").refuse_wrapped(wrapped)  # the questions bring the whole prompt
