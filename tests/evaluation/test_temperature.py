"""The temperature study's points: what counts as right, and what as garbled."""

import pytest

from scdpo.evaluation.temperature import is_garbled, temperature_point
from scdpo.problems.problem import Problem
from scdpo.sampling.continuation import LONG_QUESTION
from scdpo.solutions.solution import Solution, Step
from scdpo.solutions.verdict import Verdict

FACTS = {"equations": {"Ben": [3, "+", 4, 7]}}
PROBLEM = Problem("p", "How many has Ben?", "7", facts=FACTS)


def solution(*lines, verdict=None):
    return Solution(tuple(Step(line, ()) for line in lines), verdict or Verdict("wrong", "8", rule="hashes: number"))


@pytest.mark.parametrize(
    ("problem", "given", "expected"),
    [
        (PROBLEM, Solution((), Verdict("undecided", None, LONG_QUESTION)), False),
        (PROBLEM, solution("Ben: 3 + 4 = 8\n", "#### 8"), False),
        (PROBLEM, solution("Ben: 3 + + = 8\n", "#### 8"), True),
        (Problem("p", "q", "7"), solution("Ben: 3 + + = 8\n", "#### 8"), False),
        (PROBLEM, solution("Ben: 3 + 4 = 7\n", "#### 7", verdict=Verdict("undecided", None, "no end")), True),
        (PROBLEM, solution("#### 8", verdict=Verdict("wrong", "8", rule="last number: number")), True),
    ],
    ids=[
        "no question to answer",
        "wrong but readable",
        "a malformed step",
        "no oracle, no word on steps",
        "undecided",
        "an answer only guessed at",
    ],
)
def test_garbled(problem, given, expected):
    assert is_garbled(problem, given) is expected


def test_a_point_counts_both():
    """Three right of four, one of them with a malformed step, and one undecided: 0.75 right, 0.5 garbled."""
    right = Verdict("correct", "7", rule="hashes: number")
    given = [
        solution("Ben: 3 + 4 = 7\n", "#### 7", verdict=right),
        solution("Ben: 3 + 4 = 7\n", "#### 7", verdict=right),
        solution("x\n", "#### 7", verdict=right),
        solution("x", verdict=Verdict("undecided", None, "no answer")),
    ]
    point = temperature_point(1.1, [PROBLEM] * 4, given)
    assert (point.temperature, point.accuracy.value, point.garbled.value) == (1.1, 0.75, 0.5)
    assert (point.accuracy.n, point.garbled.n) == (4, 4)
