"""gsm_symbolic with code: a result is computed where the numbers before its sign give it, and nothing else changes."""

from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdpo.marks import MARKS
from scdpo.problems.gsm_symbolic import calculation, evaluate, gsm_symbolic, gsm_symbolic_with_code, with_code
from scdpo.solutions.code_format import FORMATS


def pieces(text):
    return [(piece.kind, piece.inner) for piece in FORMATS["blocks"].pieces(text)]


@pytest.mark.parametrize(
    ("text", "result", "said", "code"),
    [
        ("The fee is $400,000 x 8/100", 32000, "The fee is", "400000 * 8 / 100"),
        ("he works for 6 days/week * 2 weeks/month", 12, "he works for", "6 * 2"),
        ("There are 31-4-8", 19, "There are", "31 - 4 - 8"),
        ("Of the 108 pupils, 35 are girls, so 108 pupils - 35 girls", 73, "Of the 108 pupils, 35 are girls, so", "108 - 35"),
        ("three times 12 ÷ (1 + 2)", 4, "three times", "12 / (1 + 2)"),
    ],
)
def test_calculations(text, result, said, code):
    assert calculation(text, result)[:2] == (said, code)


@pytest.mark.parametrize(("text", "result"), [("8(10)", 80), ("half * 92", 46), ("a total of 7", 7), ("4 / 0", 4), ("", 1)])
def test_what_is_none(text, result):
    """Python would not give the result, or there is nothing to compute."""
    assert calculation(text, result) is None


def test_a_worked_answer_with_code():
    worked = "He has 2 * 3 = 6 pens. With 1 more, he has 6 + 1 = 7 pens.\nSo be it.\n#### 7"
    assert pieces(with_code(worked)) == [
        ("text", "He has"),
        ("code", "print(2 * 3)"),
        ("output", "6"),
        ("text", "pens. With 1 more, he has"),
        ("code", "print(6 + 1)"),
        ("output", "7"),
        ("text", "So be it.\n#### 7"),
    ]


def test_outputs_are_what_python_prints(capsys):
    """Of 300 worked answers; nearly all compute something, and all end in their answer."""
    pytest.importorskip("reasoning_gym")
    computing = 0
    for (_, plain), (_, problem) in islice(zip(gsm_symbolic(0), gsm_symbolic_with_code(0), strict=True), 300):
        found = pieces(problem.solution)
        assert found[-1][1].endswith(plain.solution.rpartition("\n")[2])
        for (kind, code), (_, output) in pairwise(found):
            if kind == "code":
                exec(code, {})
                assert capsys.readouterr().out == f"{output}\n"
                computing += 1
    assert computing > 600


@given(st.text(alphabet="0123456789+-*/x=() .,\n#abc$%", max_size=80))
def test_any_text_stays_in_the_format(worked):
    text = with_code(worked)
    assert FORMATS["blocks"].noise(text, 1000, 10_000) is None
    assert not any(mark in inner for _, inner in pieces(text) for mark in MARKS)


@given(st.text(alphabet="0123456789+-*/(). ", max_size=30))
def test_evaluation_is_python_s(code):
    value = evaluate(code)
    if value is not None:
        assert value == eval(code)
