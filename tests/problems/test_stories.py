"""The story family: disjoint splits, worked solutions that the oracle finds right, and errors that it names."""

import re
from collections import Counter
from itertools import islice, pairwise

import pytest

from scdpo.grading.grade import grade
from scdpo.problems.problem import Problem
from scdpo.problems.settings import ProblemSettings
from scdpo.problems.source import SHARES, make_splits, split_of
from scdpo.problems.step_oracle import StepError, first_error
from scdpo.problems.stories import CHAIN_LENGTHS, MAX_VALUE, STATEMENTS, is_hard, stories, stories_with_code
from scdpo.sandbox.sandbox import Sandbox
from scdpo.solutions.code_format import FORMATS
from scdpo.solutions.splitting import cut_windows

SIZES = ProblemSettings(sft=300, pairs=200, dev=50, test=150)


def test_worked_solutions_are_right_and_have_three_to_seven_steps():
    for _, problem in islice(stories(1), 500):
        lines = problem.solution.split("\n")
        assert len(lines) - 1 in CHAIN_LENGTHS
        assert first_error(problem, lines) is None
        assert grade(problem.solution, problem.answer).is_correct


def test_every_number_of_a_solution_is_small_and_told():
    """Values stay within two digits; a worked solution needs nothing that the question does not say."""
    for _, problem in islice(stories(2), 300):
        told = set(re.findall(r"\d+", problem.question))
        known = set(told)
        for a, _, b, c in problem.facts["equations"].values():
            assert {str(a), str(b)} <= known
            known.add(str(c))
            assert 0 < c <= MAX_VALUE


def test_same_seed_same_stories():
    assert list(islice(stories(5), 20)) == list(islice(stories(5), 20))
    assert list(islice(stories(5), 20)) != list(islice(stories(6), 20))


def test_splits_share_no_problem():
    """No question serves two purposes, and none comes twice, even told with other names (the signature decides)."""
    splits = make_splits(SIZES)
    problems = [problem for split in splits.values() for problem in split]
    assert [len(splits[name]) for name in ("sft", "pairs", "dev", "test")] == [300, 200, 50, 150]
    assert len({problem.question for problem in problems}) == len(problems)
    assert len({problem.id for problem in problems}) == len(problems)
    signatures = {problem.question: signature for signature, problem in islice(stories(SIZES.seed), 5000)}
    assert len({signatures[problem.question] for problem in problems}) == len(problems)


def test_a_signature_is_the_problem_without_its_words():
    """Retold with other names, things, forms and distractors: one signature, and the same sums."""
    told = {}
    for signature, problem in islice(stories(3), 20_000):
        told.setdefault(signature, []).append(problem)
    retold = [problems for problems in told.values() if len(problems) > 1]
    assert retold
    for problems in retold:
        chains = [list(problem.facts["equations"].values()) for problem in problems]
        assert all(chain == chains[0] for chain in chains)
    assert any(len({problem.question for problem in problems}) > 1 for problems in retold)


def test_a_split_does_not_depend_on_another_ones_size():
    larger = SIZES.model_copy(update={"sft": 500})
    assert make_splits(larger)["test"] == make_splits(SIZES)["test"]


def test_signatures_are_dealt_out_by_the_shares():
    """10,000 signatures: each split has its share of them within 5 standard deviations."""
    dealt = Counter(split_of(("a", n)) for n in range(10_000))
    for split, share in SHARES.items():
        expected = 100 * share
        assert abs(dealt[split] - expected) < 5 * (expected * (1 - share / 100)) ** 0.5


def test_every_relation_has_several_sentences():
    assert all(len(set(forms)) >= 3 for forms in STATEMENTS.values())


PROBLEM = Problem("p", "q", "34", facts={"equations": {"Ben": [12, "+", 5, 17], "Eva": [17, "*", 2, 34]}})


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        (["Ben: 12 + 5 = 17", "Eva: 17 * 2 = 34", "#### 34"], None),
        (["Ben: 5 + 12 = 17", "Eva: 2 * 17 = 34", "#### 34"], None),
        (["Ben: 12 + 6 = 18", "#### 34"], StepError(0, "wrong quantity")),
        (["Ben: 12 + 5 = 17", "Eva: 17 + 2 = 19", "#### 19"], StepError(1, "wrong operation")),
        (["Ben: 12 + 5 = 18", "#### 34"], StepError(0, "wrong arithmetic")),
        (["Ben: 12 + 5 = 17", "Eva 17 2 34", "#### 34"], StepError(1, "malformed")),
        (["Ben: 12 + 5 = 17", "Dan: 17 * 2 = 34", "#### 34"], StepError(1, "wrong quantity")),
        (["Ben: 12 + 5 = 17", "#### 17"], StepError(1, "wrong quantity")),
        (["Ben: 12 + 5 = 17"], StepError(1, "malformed")),
        ([], StepError(0, "malformed")),
    ],
)
def test_the_oracle_names_the_first_wrong_step(steps, error):
    assert first_error(PROBLEM, steps) == error


def test_a_swapped_difference_is_a_wrong_operation():
    """17 - 5 told, 5 - 17 written: the operands are right, what is done with them is not."""
    problem = Problem("p", "q", "12", facts={"equations": {"Ben": [17, "-", 5, 12]}})
    assert first_error(problem, ["Ben: 5 - 17 = 12", "#### 12"]) == StepError(0, "wrong operation")


def test_the_oracle_needs_facts():
    with pytest.raises(ValueError, match="carries no facts"):
        first_error(Problem("p", "q", "1"), ["#### 1"])


def coded(seed: int, count: int) -> list[tuple[Problem, list[str]]]:
    """Stories with code, each with the steps of its solution."""
    found = []
    for _, problem in islice(stories_with_code(seed), count):
        cuts = [0, *(window.stop for window in cut_windows(problem.solution, "blocks")), len(problem.solution)]
        found.append((problem, [problem.solution[a:b] for a, b in pairwise(cuts)]))
    return found


def test_solutions_with_code_are_right_and_compute_what_is_hard():
    """The same stories, the same equations, one step each, code where a digit carries or a product is wanted."""
    for (problem, steps), (_, plain) in zip(coded(1, 300), stories(1), strict=False):
        assert (problem.question, problem.facts) == (plain.question, plain.facts)
        assert first_error(problem, steps) is None
        equations = list(problem.facts["equations"].values())
        assert len(steps) == len(equations) + 1
        for step, (left, operator, right, _) in zip(steps, equations, strict=False):
            assert step.startswith("<|code|>") == is_hard(left, operator, right)
    assert [is_hard(*line) for line in ((12, "+", 7), (12, "+", 8), (17, "-", 9), (17, "-", 7), (2, "*", 2))] == [
        False,
        True,
        True,
        False,
        True,
    ]


def test_worked_outputs_are_what_the_code_prints():
    """Every worked solution's code, run in the sandbox, prints what the solution says that it does; variables are there."""
    with Sandbox() as sandbox:
        for problem, _ in coded(4, 60):
            pieces = list(FORMATS["blocks"].pieces(problem.solution))
            outputs = sandbox.run([piece.inner for piece in pieces if piece.kind == "code"])
            assert [output.text for output in outputs] == [piece.inner for piece in pieces if piece.kind == "output"]


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("Leo = 17 * 3", "Leo = 16 * 3", "wrong quantity"),
        ("Leo = 17 * 3", "Leo = 17 + 3", "wrong operation"),
        ("Leo = 17 * 3", "Eva = 17 * 3", "malformed"),
        ("Leo = 17 * 3", "Leo = Ada * 3", "wrong quantity"),
        ("<|execution|>51", "<|execution|>52", "wrong arithmetic"),
        ("<|execution|>51", "<|execution|>NameError: no", "malformed"),
        ("Dan = Leo // 3", "Dan = Eva // 3", "wrong quantity"),
        ("print(Leo)", "print(51)", "malformed"),
        ("<|text|>#### 19", "<|text|>#### 18", "wrong quantity"),
        ("<|text|>Ann: 17 + 2 = 19", "<|text|>Ann: 17 + 2 = 20", "wrong arithmetic"),
    ],
)
def test_the_oracle_judges_computed_steps(old, new, kind):
    facts = {"equations": {"Leo": [17, "*", 3, 51], "Dan": [51, "/", 3, 17], "Ann": [17, "+", 2, 19]}}
    end = "<|endofblock|>"
    steps = [
        f"<|code|>Leo = 17 * 3\nprint(Leo){end}<|execution|>51{end}",
        f"<|code|>Dan = Leo // 3\nprint(Dan){end}<|execution|>17{end}",
        f"<|text|>Ann: 17 + 2 = 19{end}",
        f"<|text|>#### 19{end}",
    ]
    problem = Problem("p", "?", "19", facts=facts)
    assert first_error(problem, steps) is None
    assert first_error(problem, [step.replace(old, new) for step in steps]).kind == kind
