"""Verdicts: exact, and undecided wherever a mistake cannot be told from noise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdpo.grading.grade import garbled, grade, is_preferred
from scdpo.solutions.solution import Solution, Step


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
        ("a 36", "36", "undecided"),
        ("", "36", "undecided"),
        ("#### 36\n#### 37", "36", "undecided"),
        ("#### 36\nand more", "36", "undecided"),
        ("a\na\na\na\n#### 36", "36", "undecided"),
        ("a\ufffd\n#### 36", "36", "undecided"),
        ("a\x00\n#### 36", "36", "undecided"),
        ("a\n#### " + "9" * 5000, "36", "undecided"),
    ],
)
def test_verdicts(text, gold, outcome):
    verdict = grade(text, gold)
    assert verdict.outcome == outcome
    assert (verdict.reason == "") == (outcome == "correct")


def test_a_solution_that_ran_out_of_tokens_is_undecided():
    assert grade("a\n#### 3", "36", finish="length").outcome == "undecided"


@given(text=st.text(max_size=200))
def test_any_text_gets_a_verdict(text):
    verdict = grade(text, "7")
    assert verdict.outcome in ("correct", "wrong", "undecided")
    if garbled(text):
        assert verdict.outcome == "undecided"


@given(number=st.integers(-(10**9), 10**9), other=st.integers(-(10**9), 10**9))
def test_numbers_are_compared_exactly(number, other):
    assert grade(f"#### {number:,}", str(number)).is_correct
    assert grade(f"#### {number}", str(other)).is_correct == (number == other)


@pytest.mark.parametrize(
    ("text", "preferred"), [("so 3\n#### 3", True), ("An Error: 3\n#### 3", False), ("I apologize\n#### 3", False)]
)
def test_solutions_that_correct_themselves_are_not_preferred(text, preferred):
    """The authors look for "error" and "apolog" in the model's own text (section 3.1)."""
    solution = Solution((Step(text, (1,)),), grade(text, "3"))
    assert is_preferred(solution, ("error", "apolog")) == preferred
