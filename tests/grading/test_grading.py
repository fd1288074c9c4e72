"""Verdicts: exact where an answer can be read, and undecided wherever a mistake cannot be told from something else."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import scdpo
from scdpo.grading.cleaning import clean
from scdpo.grading.comparison import Match, compare
from scdpo.grading.extraction import extract
from scdpo.grading.grade import garbled, grade, is_preferred
from scdpo.grading.numbers import Number, read_number, same_number
from scdpo.solutions.solution import Solution, Step

PAIRS = json.loads(Path(__file__).with_name("edge_pairs.json").read_text(encoding="utf-8"))


def not_asked(prediction: str, gold: str) -> Match:
    """Stands for symbolic mathematics where a test wants none."""
    return Match(None, "symbolic", "not asked")


def pairs_of(kind: str, expected: bool) -> list[tuple[str, str]]:
    rows = [row for row in PAIRS if row["kind"] == kind]
    return [(prediction, row["gold"]) for row in rows for prediction in row["same" if expected else "different"]]


@pytest.mark.parametrize("kind", sorted({row["kind"] for row in PAIRS}))
def test_edge_pairs(kind):
    """Hand-made pairs of every kind that research/grading.md lists: none rejected that is right, none accepted that is not."""
    full = kind == "whole solutions"
    rejected = [pair for pair in pairs_of(kind, True) if not grade(*pair, full_text=full).is_correct]
    accepted = [pair for pair in pairs_of(kind, False) if grade(*pair, full_text=full).is_correct]
    assert (rejected, accepted) == ([], [])


def test_there_are_enough_edge_pairs():
    assert sum(len(row["same"]) + len(row["different"]) for row in PAIRS) >= 400


@pytest.mark.parametrize(
    ("text", "gold", "outcome"),
    [
        ("a\n#### 36", "36", "correct"),
        ("a\n#### 36.0", "36", "correct"),
        ("a\n#### 1,234", "1234", "correct"),
        ("a\n#### $0.5", "1/2", "correct"),
        ("a\n#### 37", "36", "wrong"),
        ("a\n#### -36", "36", "wrong"),
        ("a\n#### Ben", "ben", "correct"),
        ("a\n#### Ben", "36", "undecided"),
        ("a\n#### 1/0", "36", "undecided"),
        ("a\n####", "36", "undecided"),
        ("", "36", "undecided"),
        ("#### 36\n#### 37", "36", "undecided"),
        ("#### 36\nand more", "36", "undecided"),
        ("a\na\na\na\n#### 36", "36", "undecided"),
        ("a\ufffd\n#### 36", "36", "undecided"),
        ("a\x00\n#### 36", "36", "undecided"),
        ("a\n#### " + "9" * 5000, "36", "undecided"),
        ("So we have \\boxed{}", "36", "undecided"),
        ("a\n#### 36", "", "undecided"),
        ("x" * 300_000, "36", "undecided"),
    ],
)
def test_verdicts_on_whole_solutions(text, gold, outcome):
    verdict = grade(text, gold, full_text=True)
    assert verdict.outcome == outcome
    assert (verdict.reason == "") == (outcome == "correct")


@pytest.mark.parametrize(
    ("text", "outcome"), [("he has 36 left", "correct"), ("so 6 * 6 = 36", "correct"), ("he has 35 left", "undecided")]
)
def test_a_guess_is_never_wrong_and_never_preferred(text, outcome):
    """A text without a stated answer shows no mistake, and is not a model to follow."""
    verdict = grade(text, "36", full_text=True)
    assert (verdict.outcome, verdict.is_guess) == (outcome, True)
    assert not is_preferred(Solution((Step(text, (1,)),), verdict), ())


@pytest.mark.parametrize(
    ("text", "answer", "rule"),
    [
        (r"first \boxed{1}, then \boxed{2}", "2", "box"),
        (r"$\boxed{1}$ and $\boxed{2}$", "1, 2", "box"),
        (r"\boxed{1}, \boxed{2}, \boxed{3}", "1, 2, 3", "box"),
        (r"\fbox{\frac{1}{2}}", r"\frac{1}{2}", "box"),
        (r"\boxed{\frac{1}{2} is what we wanted to find, and so we are done", "2", "last number"),
        (r"\boxed{5} and then \boxed{\frac{1}{2", "5", "box"),
        (r"\boxed{}", "", "box"),
        ("a\n#### 7", "7", "####"),
        ("#### Step 1: add\n6\nThe answer is 7.", "7", "answer is"),
        ("The answer is 3.5. It follows.", "3.5", "answer is"),
        ("答案是 7。", "7", "answer is"),
        ("```output\n5\n```\nThere are 7 of them in all, and that is that", "7", "last number"),
        ("He has 7 left\n```output\n5\n```", "7", "short text"),
        ("nothing at all is said here", None, None),
    ],
)
def test_where_the_answer_stands(text, answer, rule):
    found = extract(text, whole=False)
    if rule == "short text":
        assert found is not None and "7" in found.text and "5" not in found.text
    else:
        assert (found and found.text, found and found.rule) == (answer, rule)


def test_a_solution_that_ran_out_of_tokens_is_undecided():
    assert grade("a\n#### 3", "36", full_text=True, finish="length").outcome == "undecided"


@settings(deadline=None)
@given(text=st.text(max_size=200), full=st.booleans())
def test_any_text_gets_a_verdict(text, full):
    verdict = grade(text, "7", full_text=full, ask=not_asked)
    assert verdict.outcome in ("correct", "wrong", "undecided")
    if full and garbled(text):
        assert verdict.outcome == "undecided"


PIECES = (
    r"\frac \sqrt \pi \text{cm} \boxed \pm \cup \infty \begin{pmatrix} \end{pmatrix} \\ & ^\circ and or apples _2 {1} 三 元 ½ ×"
)
LATEX = st.lists(st.sampled_from([*"0123456789xyi+-*/^=,.:()[]{}<>|!%$ ", *PIECES.split()]), max_size=25).map("".join)
# A number and what may look like a unit: letters and the signs of powers, rates, abbreviations and currencies.
TAILS = st.lists(st.sampled_from(["x", " x", " /", "^{2}", ".", "%", " $", "三", "cm", " square"]), max_size=3).map("".join)
MEASURED = st.builds("{}{}".format, st.sampled_from(["0", "12", "-3", "1/2"]), TAILS)


@settings(deadline=None, max_examples=400)
@given(text=LATEX)
def test_an_answer_is_itself(text):
    """Whatever an answer looks like, it equals itself unless it is empty, and comparing it raises nothing."""
    match = compare(text, text, not_asked)
    assert match.same or not clean(text)


@settings(deadline=None, max_examples=800)
@given(first=LATEX | MEASURED, second=LATEX | MEASURED)
@example(first="0", second="0x /")  # after the letter comes no word
def test_comparing_any_two_answers_gives_a_verdict(first, second):
    assert compare(first, second, not_asked).same in (True, False, None)


@given(number=st.integers(-(10**9), 10**9), other=st.integers(-(10**9), 10**9))
def test_numbers_are_compared_exactly(number, other):
    assert grade(f"#### {number:,}", str(number)).is_correct
    assert grade(f"#### {number}", str(other)).is_correct == (number == other)


@given(top=st.integers(-999, 999), bottom=st.integers(1, 999), whole=st.integers(0, 99))
def test_numbers_are_read_exactly(top, bottom, whole):
    value = Fraction(top, bottom)
    for text in (
        f"{top}/{bottom}",
        rf"\frac{{{top}}}{{{bottom}}}",
        f"({top})/({bottom})",
        rf"\frac{{{7 * top}}}{{{7 * bottom}}}",
    ):
        assert read_number(clean(text)).value == value
    if 0 < top < bottom:
        for text in (rf"{whole}\frac{{{top}}}{{{bottom}}}", f"{whole} {top}/{bottom}", f"{whole}({top}/{bottom})"):
            assert read_number(clean(text)).value == whole + value


@pytest.mark.parametrize(
    ("prediction", "gold", "same"),
    [
        ("0.333333", "1/3", True),
        ("0.333", "1/3", False),
        ("1/3", "0.333", None),
        ("0.666666", "2/3", True),
        ("0.500001", "1/2", False),
        ("0.30000000000000004", "0.3", True),
        ("0.31", "0.3", None),
        ("0.300000001", "0.3", None),
        ("3.14", "3.14159", False),
    ],
)
def test_rounding(prediction, gold, same):
    """0.31 for a gold answer of 0.3: undecided, for 0.3 may be 0.31 rounded."""
    assert same_number(read_number(prediction), read_number(gold)) is same


def test_equal_numbers_need_no_decimals():
    assert same_number(Number(Fraction(1, 2)), Number(Fraction(1, 2), 1)) is True


@pytest.mark.parametrize(
    ("text", "preferred"), [("so 3\n#### 3", True), ("An Error: 3\n#### 3", False), ("I apologize\n#### 3", False)]
)
def test_solutions_that_correct_themselves_are_not_preferred(text, preferred):
    """The authors look for "error" and "apolog" in the model's own text (section 3.1)."""
    solution = Solution((Step(text, (1,)),), grade(text, "3", full_text=True))
    assert is_preferred(solution, ("error", "apolog")) == preferred


@pytest.mark.parametrize(
    ("prediction", "gold", "outcome"),
    [
        ("0.333", "1/3", "wrong"),
        ("0.333333", "1/3", "correct"),
        ("1/3", "0.333", "undecided"),
        ("3.464", r"2\sqrt{3}", "wrong"),
        ("3.4641016", r"2\sqrt{3}", "correct"),
        ("50", "50%", "correct"),
        ("0.5", "50%", "correct"),
        ("50%", "50", "correct"),
        ("50%", "0.5", "correct"),
        ("0.25%", "0.25", "undecided"),
        ("5", "5 m", "correct"),
        ("500 cm", "5 m", "correct"),
        ("5 km", "5 m", "wrong"),
        ("2 hours", "120", "undecided"),
        ("5m", "5", "undecided"),
        ("(1,2)", r"\{1,2\}", "wrong"),
        ("[1,2]", "(1,2)", "wrong"),
        ("1, 2", "(1,2)", "correct"),
        ("2, 1", "(1,2)", "wrong"),
        ("x = 2 or x = 1", r"\{1,2\}", "correct"),
        (r"\pm 2", "-2, 2", "correct"),
        ("1010_3", "1010_2", "wrong"),
        ("1010", "1010_2", "correct"),
        ("12_8", "1010_2", "undecided"),
        ("x = 5", "5", "correct"),
        ("2x+3", "y = 2x+3", "correct"),
        ("Ben", "7", "undecided"),
        ("12", "C", "undecided"),
        ("x_2", "x_1", "wrong"),
        ("12, hence done", "12", "undecided"),
        ("13, hence done", "12", "wrong"),
        (r"12 \blacksquare", "12", "correct"),
        ("12 [END OF TEXT]", "12", "correct"),
    ],
)
def test_policies(prediction, gold, outcome):
    """The table of docs/grading.md."""
    assert grade(prediction, gold).outcome == outcome


@pytest.mark.parametrize(
    ("prediction", "gold", "outcome"),
    [
        ("5 (mod 7)", "5", "correct"),
        (r"\{1, 2)", r"\{1,2\}", "undecided"),
        ("1 < x > 2", "(1,2)", "undecided"),
        ("5 times x", "5", "undecided"),
        ("(12,500)", "(12, 500.0)", "correct"),
        ("(2,125)", r"(\frac{4}{2}, 125)", "correct"),
        (r"\$12/hr", "12", "correct"),
        ("$15/month", "15", "correct"),
        (r"\sqrt[4]{x^4}", "x", "undecided"),
        (r"\sqrt{e^x}", "e^{x/2}", "correct"),
        ("the area of the triangle = 5", "5", "correct"),
        (r"1,2,3,4,5,6,7,\sin x", r"1,2,3,4,5,6,7,\sin(x)", "correct"),
        ("8,7,6,5,4,3,2,1", "1,2,3,4,5,6,7,8", "correct"),
        ("8,7,6,5,4,3,2,2", "1,2,3,4,5,6,7,8", "wrong"),
        ("• 5", "5", "correct"),
        (r"\therefore x = 5", "5", "correct"),
    ],
)
def test_rules_that_no_output_needed_yet(prediction, gold, outcome):
    """Each pair would get another verdict without one rule, which no output of the counts in docs/grading.md needed."""
    assert grade(prediction, gold).outcome == outcome


def test_the_package_gives_grade():
    verdict = scdpo.grade(r"\frac{2}{\sqrt{2}}", r"\sqrt{2}")
    assert (verdict.outcome, verdict.extracted, verdict.rule) == ("correct", r"\frac{2}{\sqrt{2}}", "whole text: value")


@pytest.mark.parametrize(
    ("prediction", "gold", "outcome"),
    [
        (36, 36.0, "correct"),
        ("36.00", 36, "correct"),
        (0.5, r"\frac{1}{2}", "correct"),
        (1e-7, "0.0000001", "correct"),
        (7, "8", "wrong"),
    ],
)
def test_numbers_are_answers_too(prediction, gold, outcome):
    assert grade(prediction, gold).outcome == outcome


@pytest.mark.parametrize(("prediction", "gold"), [(None, "1"), ("1", None), (True, "1"), (["1"], "1")])
def test_what_is_no_answer_is_refused(prediction, gold):
    with pytest.raises(TypeError, match="a text or a number"):
        grade(prediction, gold)
