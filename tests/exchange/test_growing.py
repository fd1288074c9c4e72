"""Rows of other tools become trees: shared trunks, exact texts, forks at steps, and what is not a pair is counted by reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdpo.errors import ExchangeError
from scdpo.exchange.growing import AS_IMPORTED, grow, with_questions
from scdpo.exchange.pair import TextPair
from scdpo.exchange.reading import read_pairs, recognised
from scdpo.problems.records import Record
from scdpo.solutions.codec import Codec
from scdpo.solutions.rendering import render
from scdpo.solutions.settings import CodeSettings

QUESTION = "Ada has 2 and 3 eggs. One more comes."


@pytest.fixture(scope="module")
def codec(smollm2_tokenizer):
    return Codec(smollm2_tokenizer)


def records(*rows):
    return [Record(f"file:{number}", number, row) for number, row in enumerate(rows, start=1)]


def imported(codec, *rows, template="{question}", regrade=False):
    format = recognised(records(*rows), "file")
    pairs, refused = read_pairs(records(*rows), format)
    growth = grow(with_questions(pairs, template), codec, regrade)
    growth.left_out.update(refused)
    return format, growth


def step_dpo(kept, chosen, rejected, answer="6"):
    fields = {"initial_reason_steps": kept, "chosen": chosen, "rejected": rejected}
    return {"dataset": "MATH", "prompt": QUESTION, **fields, "full_chosen": "", "answer": answer}


def test_step_dpo(codec):
    """Kept steps that end in "Step 2:" belong to the step that follows: the fork is before it, and the texts are the same."""
    kept = "Let's think step by step.\nStep 1: 2 + 3 = 5.\nStep 2:"
    format, growth = imported(codec, step_dpo(kept, " Add 1: 6.", " Add 1: 7."), step_dpo(kept, " Add 1: 6.", " Add 1: 8."))
    (tree,) = growth.trees
    assert format == "step-dpo"
    assert growth.moved == 2
    assert tree.answer == "6"
    assert tree.trunk.text == kept + " Add 1: 6."
    assert [branch.fork for branch in tree.branches] == [2, 2]
    assert [tree.whole(branch).text for branch in tree.branches] == [kept + " Add 1: 7.", kept + " Add 1: 8."]


def test_step_dpo_has_no_ends(codec):
    """A single step goes on: no end token is rendered on either side, where whole solutions have one on both."""
    row = {"prompt": QUESTION, "chosen": "Step 1: 5.\nStep 2: 6.", "rejected": "Step 1: 5.\nStep 2: 7."}
    for growth, ends in (
        (imported(codec, step_dpo("Step 1: 5.\nStep 2:", " 6.", " 7."))[1], 0),
        (imported(codec, row)[1], 2),
    ):
        (tree,) = growth.trees
        assert render(tree, (1,), codec.end_id).ids.count(codec.end_id) == ends


def blocks(*pieces):
    return [{"type": kind, "content": content} for kind, content in pieces]


def side(kept, rest, question=QUESTION):
    messages = [{"role": "system", "content": blocks(("text", ""))}, {"role": "user", "content": blocks(("text", question))}]
    if kept is not None:
        messages.append({"role": "assistant_correct", "content": kept})
    return [*messages, {"role": "assistant", "content": rest}]


KEPT = blocks(("text", "First."), ("code", "print(2 + 3)"), ("execution", "5"))
GOOD = blocks(("text", "One more."), ("text", "\\boxed{6}"))
BAD = blocks(("text", "Two more: \\boxed{7}"))


@pytest.fixture(scope="module")
def code_codec(smollm2_tokenizer):
    import copy

    from scdpo.marks import MARKS
    from scdpo.training.scratch import add_marks

    tokenizer = copy.deepcopy(smollm2_tokenizer)
    add_marks(tokenizer, MARKS)
    return Codec(tokenizer, code=CodeSettings(format="blocks"))


def test_authors(code_codec):
    """assistant_correct is what is kept; rows with other forks of one solution, and naive ones, share its trunk."""
    format, growth = imported(
        code_codec,
        {"chosen": side(KEPT, GOOD), "rejected": side(KEPT, BAD)},
        {"chosen": side([], KEPT + GOOD), "rejected": side([], BAD)},
        {"chosen": side(None, KEPT + GOOD), "rejected": side(None, blocks(("text", "\\boxed{5}")))},
        {"messages": side(None, KEPT + GOOD)},
        {"chosen": side(KEPT, GOOD), "rejected": side(KEPT[:1], BAD)},
        {"chosen": side(KEPT, GOOD), "rejected": side(KEPT, BAD, question="Another?")},
        {"chosen": side(KEPT, GOOD), "rejected": side(KEPT, [{"type": "image", "content": "x"}])},
    )
    (tree,) = growth.trees
    assert format == "authors"
    assert [branch.fork for branch in tree.branches] == [2, 0, 0]
    assert [step.kind for step in tree.trunk.steps] == ["text", "code", "text", "answer"]
    assert tree.trunk.steps[1].output is not None
    assert tree.answer == "6"
    assert growth.answers == 1
    assert growth.left_out == {
        "one solution (messages) and no pair": 1,
        "chosen and rejected keep different steps": 1,
        "chosen and rejected answer different questions": 1,
        "a block that is not text, code or execution": 1,
    }


def test_output_split_from_its_code(code_codec):
    """A prefix that ends between code and its output is not a fork: it lies before the code."""
    kept, rest = KEPT[:2], KEPT[2:] + GOOD
    _, growth = imported(code_codec, {"chosen": side(kept, rest), "rejected": side(kept, KEPT[2:] + BAD)})
    (branch,) = growth.trees[0].branches
    assert (branch.fork, growth.moved) == (1, 1)


WHOLE = "2 + 3 = 5\n5 + 1 = 6\n#### 6"
FORKED = {"prompt": f"{QUESTION}\n2 + 3 = 5\n", "chosen": "5 + 1 = 6\n#### 6", "rejected": "5 + 1 = 7\n#### 7"}
NAIVE = {"prompt": f"{QUESTION}\n", "chosen": WHOLE, "rejected": "2 + 3 = 6\n#### 7"}


def test_plain_rows_that_share_a_trunk(codec):
    """Prompt and chosen joined tell that two rows are of one solution; what the longer prompt has more is kept."""
    format, growth = imported(codec, FORKED, NAIVE, template="{question}\n")
    (tree,) = growth.trees
    assert format == "trl"
    assert tree.question == QUESTION
    assert [(branch.fork, branch.text) for branch in tree.branches] == [(1, FORKED["rejected"]), (0, NAIVE["rejected"])]


def messages(*turns):
    return [{"role": role, "content": content} for role, content in turns]


@pytest.mark.parametrize("is_inside", [True, False])
def test_chat_rows(is_inside, codec):
    """The prompt as its own list, or in front of both sides; a system message goes before the question."""
    prompt = messages(("system", "Be brief."), ("user", QUESTION))
    before, own = (prompt, {}) if is_inside else ([], {"prompt": prompt})
    good, bad = messages(("assistant", WHOLE)), messages(("assistant", "#### 7"))
    _, growth = imported(codec, {**own, "chosen": before + good, "rejected": before + bad})
    (tree,) = growth.trees
    assert tree.question == f"Be brief.\n\n{QUESTION}"
    assert (tree.trunk.text, tree.branches[0].text) == (WHOLE, "#### 7")


def test_reasons(codec):
    """Everything that is not a pair is counted, and the pairs beside it come in."""
    turns = messages(("user", "Hi"), ("assistant", "Yes?"), ("user", QUESTION))
    _, growth = imported(
        codec,
        NAIVE,
        NAIVE,
        {**NAIVE, "rejected": WHOLE},
        {**NAIVE, "chosen": " "},
        {**NAIVE, "prompt": ""},
        {"text": "nothing"},
        {"prompt": turns, "chosen": messages(("assistant", "a")), "rejected": messages(("assistant", "b"))},
    )
    assert len(growth.trees) == 1
    assert growth.left_out == {
        "the same pair again": 1,
        "chosen and rejected are the same": 1,
        "nothing in chosen": 1,
        "no question": 1,
        "no row of trl": 1,
        "a conversation of several turns": 1,
    }


def test_unknown_rows_are_refused():
    with pytest.raises(ExchangeError, match=r"no preference pairs .*\(text\)"):
        recognised(records({"text": "x"}), "file")


def test_regrade(codec):
    """A rejected side that is right, a chosen one that is wrong, are left out; without it the file's word is taken."""
    kept = "Step 1: 5.\n"
    row = {"question": QUESTION, "prompt": QUESTION, "kept": "", "answer": "6", "fork": 0}
    rows = [
        row | {"chosen": WHOLE, "rejected": "#### 7"},
        row | {"chosen": WHOLE, "rejected": "5 + 1 = 6\n#### 6"},
        row | {"chosen": "#### 5", "rejected": "#### 7"},
        row | {"chosen": kept + WHOLE, "rejected": "#### 8", "answer": ""},
    ]
    _, growth = imported(codec, *rows, regrade=True)
    assert growth.left_out == {"rejected is graded correct": 1, "chosen is graded wrong": 1}
    assert growth.ungraded == 1
    assert growth.trees[0].trunk.verdict.rule != AS_IMPORTED
    _, growth = imported(codec, *rows)
    assert not growth.left_out
    assert growth.trees[0].trunk.verdict.rule == AS_IMPORTED


WORDS = st.lists(
    st.sampled_from(["Add 2.", "So x = 3", "Then", "是的。", "\n", "\n\n", " ", "Step 2:", "5", "é", "$a$"]), min_size=1
)
TEXTS = WORDS.map("".join)


@given(kept=st.one_of(st.just(""), TEXTS), chosen=TEXTS, rejected=TEXTS)
def test_texts_stay_exact(kept, chosen, rejected, codec):
    """Whatever is kept: both sides' texts are the file's, the ids spell them, and kept ids are the trunk's by construction."""
    growth = grow([TextPair(QUESTION, kept, chosen, rejected)], codec)
    assert len(growth.trees) + growth.left_out.total() == 1
    for tree in growth.trees:
        (branch,) = tree.branches
        whole = tree.whole(branch)
        assert tree.trunk.text == kept + chosen
        assert whole.text == kept + rejected
        assert codec.spell(whole.ids).text == whole.text
        assert branch.fork < len(tree.trunk.steps)
        assert branch.steps
