"""Rewards and spans: Eq. 7 token by token from the model's own softmax, and characters that add up to the text."""

import copy

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scdpo.credit.scoring import credit_row, rewards, spread, step_spans, token_scores, token_spans
from scdpo.credit.solutions import credited_solution, scores_of
from scdpo.problems.problem import Problem
from scdpo.solutions.codec import Codec
from scdpo.solutions.solution import CodeOutput, Solution, Step
from scdpo.solutions.verdict import Verdict
from scdpo.training.layouts import own_log_probs

QUIET = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
PIECES = ["Ben has 3 eggs.", "\n", "\t", " ", "\\frac{1}{2}", "#### 7", "$x^2$"]
PIECES += ["\U0001f469\u200d\U0001f467", "漢字", "é", "e\u0301", "עברית", "🙂🙂"]
TEXTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=10).map("".join)


@pytest.fixture
def solutions(story_problems, story_codec):
    """Five wrong solutions: worked ones with another answer."""
    texts = [problem.solution.rpartition("\n")[0] + "\n#### 1" for problem in story_problems[:5]]
    wrong = Verdict("wrong", "1", "another answer")
    return [(p, Solution(story_codec.read(text), wrong)) for p, text in zip(story_problems, texts, strict=False)]


def test_rewards_by_hand():
    """beta 0.5: 0.5 (-1 + 3) = 1 and 0.5 (-2 + 1) = -0.5."""
    assert rewards((-1.0, -2.0), (-3.0, -1.0), 0.5) == (1.0, -0.5)


def test_scores_are_the_models_own(tiny_model, story_codec, solutions):
    """One pass over solutions of all lengths gives the log-softmax of the model's plain forward pass, end of sequence included,
    for any budget of tokens."""
    rows = [credit_row(p.id, p.question, solution, story_codec) for p, solution in solutions]
    for budget in (1, 120, 10_000):
        scores = token_scores(tiny_model, rows, budget)
        for row, found, (_, solution) in zip(rows, scores, solutions, strict=True):
            assert len(found) == len(solution.ids) + 1
            assert found == pytest.approx(own_log_probs(tiny_model, row).tolist(), abs=1e-5)


def test_the_reward_of_the_reference_is_zero(tiny_model, story_codec, solutions):
    """A policy equal to its reference holds nothing responsible; one with another output layer does."""
    problem, solution = solutions[0]
    rows = [credit_row(problem.id, problem.question, solution, story_codec)]
    changed = copy.deepcopy(tiny_model)
    with torch.no_grad():
        changed.get_input_embeddings().weight.add_(0.05 * torch.randn_like(changed.get_input_embeddings().weight))
    log_probs = {"sft": token_scores(tiny_model, rows, 500)[0], "same": token_scores(copy.deepcopy(tiny_model), rows, 500)[0]}
    log_probs["other"] = token_scores(changed, rows, 500)[0]
    scores = scores_of(log_probs, {"same": "sft", "other": "sft"}, beta=0.5)
    assert set(scores) == {"sft-log-prob", "same", "other"}
    assert set(scores["same"]) == {0.0}
    assert scores["other"] == pytest.approx([0.5 * (a - b) for a, b in zip(log_probs["other"], log_probs["sft"], strict=True)])
    assert max(map(abs, scores["other"])) > 1e-3


def test_a_credited_solution_adds_up(story_codec, solutions):
    """Steps joined are the text, token spans too; the end-of-sequence token has no characters and counts for no step."""
    problem, solution = solutions[0]
    values = tuple(float(n) for n in range(len(solution.ids) + 1))
    found = credited_solution("a", problem, solution, story_codec, {"m": values})
    assert "".join(found.text[start:stop] for start, stop in found.steps) == solution.text
    assert "".join(found.text[start:stop] for start, stop in found.spans) == solution.text
    assert found.spans[-1] == (len(found.text), len(found.text)) and found.ids[-1] == story_codec.end_id
    assert [found.step_of.count(place) for place in range(len(solution.steps) - 1)] == [
        len(step.ids) for step in solution.steps[:-1]
    ]
    assert sum(found.step_sums("m")) == sum(values[:-1])
    assert (found.wrong, found.kind, found.right) == (len(solution.steps) - 1, "wrong quantity", False)


def test_what_was_given_has_no_value():
    """The output of code: ids 2 to 4 of the step were given to the model."""
    step = Step("code 5", (1, 2, 3, 4), "code", output=CodeOutput(2, 4))
    solution = Solution((step, Step("so 5", (5,))), Verdict("wrong"))
    columns = spread(solution, {"m": (0.1, 0.2, 0.3, 0.4)})  # the step's two, the other's one, the end
    assert columns["m"] == (0.1, 0.2, None, None, 0.3, 0.4)
    unended = Solution(solution.steps, Verdict("undecided"), "length")
    assert spread(unended, {"m": (0.1, 0.2, 0.3)})["m"] == (0.1, 0.2, None, None, 0.3)


@pytest.mark.parametrize("tokenizer", ["smollm2_tokenizer", "qwen_tokenizer", "mistral_tokenizer"])
@QUIET
@given(text=TEXTS)
def test_spans_cover_the_text(request, tokenizer, text):
    """Of byte-level and SentencePiece tokens: spans follow each other without gap, but for the tokens that split a character,
    which share what they spell together."""
    codec = Codec(request.getfixturevalue(tokenizer))
    ids = codec.tokenizer(text, add_special_tokens=False)["input_ids"]
    if codec.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False) != text:
        return
    spans = token_spans(codec, ids)
    assert len(spans) == len(ids)
    end = 0
    for before, span in zip([None, *spans], spans, strict=False):
        assert span == before or span[0] == end
        end = span[1]
    assert end == len(text)


def test_a_split_character_is_shared(smollm2_tokenizer):
    """A character of several byte tokens: all of them have its span."""
    codec = Codec(smollm2_tokenizer)
    ids = codec.tokenizer("a𝔸b", add_special_tokens=False)["input_ids"]
    spans = token_spans(codec, ids)
    assert spans.count((1, 2)) == len(ids) - 2 > 1
    assert (spans[0], spans[-1]) == ((0, 1), (2, 3))


def test_steps_that_somebody_else_cut(story_codec, solutions):
    """Tokens belong to the step in which they begin, also where a step ends within one."""
    problem, solution = solutions[0]
    text = solution.text
    cut = text.index("=")  # in the midst of " = "
    problem = Problem("q", problem.question, problem.answer)
    values = (1.0,) * (len(solution.ids) + 1)
    found = credited_solution("a", problem, solution, story_codec, {"m": values}, ((0, cut), (cut, len(text))))
    assert sum(found.step_sums("m")) == len(solution.ids)
    assert found.step_of.count(0) == sum(start < cut for start, _ in found.spans)
    assert (found.wrong, found.kind) == (None, None)
    assert found.steps == ((0, cut), (cut, len(text)))


def test_without_steps_there_is_no_span():
    """A model that ends at once."""
    assert step_spans(Solution((), Verdict("undecided"))) == ()
    with pytest.raises(ValueError, match="2 values of m for 1 tokens"):
        spread(Solution((), Verdict("undecided")), {"m": (0.1, 0.2)})
