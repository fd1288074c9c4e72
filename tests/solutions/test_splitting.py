"""Where solutions are cut: by their format, never inside mathematics or code, and joined again to the same text."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scdpo.grading.grade import grade
from scdpo.solutions.protection import protected
from scdpo.solutions.solution import Solution, Step
from scdpo.solutions.splitting import FORMATS, cut_windows, detect_format, is_answer_step, step_kind
from scdpo.solutions.verdict import Verdict


def steps_of(text: str, format="auto") -> list[str]:
    cuts = [0, *(window.stop for window in cut_windows(text, format)), len(text)]
    return [text[start:stop] for start, stop in pairwise(cuts)]


def kinds_of(steps: list[str]) -> list[str]:
    return [step_kind(step, index == len(steps) - 1) for index, step in enumerate(steps)]


def forks_of(steps: list[str]) -> list[int]:
    kinds = kinds_of(steps)
    made = tuple(Step(text, (1,), kind) for text, kind in zip(steps, kinds, strict=True))
    return list(Solution(made, Verdict("correct")).forks)


EXAMPLES = {
    "gsm8k": (
        "lines",
        ["He sold 48 / 2 = 24 clips.\n", "So he has $5 + $6 = $11\n", "#### 11"],
        ["text", "text", "answer"],
    ),
    "metamath": (
        "lines",
        ["First 3 + 4 = 7.\n", "Then 7 * 2 = 14.\n", "#### 14\nThe answer is: 14"],
        ["text", "text", "answer"],
    ),
    "math": (
        "paragraphs",
        [
            "We complete the square:\n\\[x^2 - 4x\n= (x-2)^2 - 4.\\]\n\n",
            "Then, since\n\n$$y = 2$$\n\n",
            "it follows that $x = 4$.\n\n",
            "Therefore, the answer is $\\boxed{4}$.",
        ],
        ["text", "text", "text", "answer"],
    ),
    "wrapped lines of LaTeX": (
        "lines",
        ["Let $a = \\frac{1}{2}$ be\nthe first term.\n", "Then $2a = 1$, so\nwe are done."],
        ["text", "text"],
    ),
    "sentences": (
        "sentences",
        ["Dr. Li has 3.5 m of rope. ", "She cuts it (e.g. in two). ", 'Then $x = 1. Y$ holds. ', "So 2 are left."],
        ["text", "text", "text", "text"],
    ),
    "Chinese sentences": ("sentences", ["小明有3个苹果。", "他又买了5个。", "答案是8。"], ["text", "text", "answer"]),
    "numbered": (
        "numbered",
        ["Let us see.\n\n", "Step 1: add.\n$$3 + 4\n\n= 7$$\n\n", "**Step 2:** halve.\n\nIt is 3.5."],
        ["text", "text", "text"],
    ),
    "fences": (
        "fences",
        [
            "Let me compute.\n\n",
            "```python\nx = 1\n\nprint(x)\n```\n```output\n1\n```\n\n",
            "So it is 1.\n",
            "```python\n2\n```\n",
            "The answer is 1.",
        ],
        ["text", "code", "text", "code", "answer"],
    ),
    "blocks": (
        "blocks",
        [
            "<|text|>Let x cost $5.\n\nBe it $6.<|endofblock|>",
            "<|code|>print(1)\n<|endofblock|><|execution|>1\n<|endofblock|>",
            "<|text|>So $7 it is: \\boxed{1}<|endofblock|>",
        ],
        ["text", "code", "text"],
    ),
    "one step": (None, ["It is 5"], ["text"]),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_formats(name):
    format, steps, kinds = EXAMPLES[name]
    text = "".join(steps)
    assert detect_format(text) == format
    assert steps_of(text) == steps
    assert kinds_of(steps) == kinds
    if format is not None:
        assert steps_of(text, format) == steps


def test_no_fork_at_the_bare_answer():
    assert forks_of(EXAMPLES["metamath"][1]) == [1]
    assert forks_of(EXAMPLES["math"][1]) == [1, 2]
    assert forks_of(EXAMPLES["blocks"][1]) == [1, 2]


def test_a_formula_belongs_to_the_step_before():
    assert steps_of("So\n\n$$x = 1$$\n\nand then we stop.") == ["So\n\n$$x = 1$$\n\n", "and then we stop."]
    assert steps_of("$$x = 1$$\n\nThis is clear.\n\nSo is that.") == ["$$x = 1$$\n\nThis is clear.\n\n", "So is that."]


@pytest.mark.parametrize(
    ("text", "is_answer"),
    [
        ("#### 42", True),
        ("The answer is: 42", True),
        ("Therefore, the final answer is $\\boxed{42}$.", True),
        ("$\\boxed{42}$", True),
        ("答案是42。", True),
        ("**Answer:** 42", True),
        ("So the answer is 6 * 7 = 42.", False),
        ("Hence $x = 6 \\cdot 7 = \\boxed{42}$.", False),
        ("He has 42 left.", False),
        ("", False),
    ],
)
def test_answer_steps(text, is_answer):
    assert is_answer_step(text) == is_answer


@settings(deadline=None, max_examples=300)
@given(text=st.text(max_size=120) | st.text(alphabet="a. \n$`\\[]{}()#S1:。begin", max_size=120))
@pytest.mark.parametrize("format", ["auto", *FORMATS])
def test_joined_steps_are_the_text(format, text):
    windows = cut_windows(text, format)
    assert "".join(steps_of(text, format)) == text
    shield = protected(text)
    for window in windows:
        assert not text[window.start : window.stop].strip()
        assert format == "blocks" or not (shield.holds(window.start) or shield.holds(window.stop))
    assert all(step.strip() for step in steps_of(text, format)) or not text.strip()


@pytest.mark.parametrize(
    "piece",
    ["```", "\\[", "\\begin{a}", "$", "a. B", "Step 1:\n", "<|endofblock|>", "\n", " \n", "$x$\n\n", "。", "#### 5\n", "[asy]"],
)
def test_long_texts_are_cut_in_linear_time(piece):
    """A quadratic cut would take minutes here."""
    text = piece * 20_000
    assert "".join(steps_of(text)) == text


def test_the_grader_reads_what_the_splitter_calls_an_answer():
    for text in ("#### 42", "The answer is: 42", "$\\boxed{42}$", "答案是42。", "**Answer:** 42"):
        assert is_answer_step(text) and grade(f"So 6 * 7 = 42.\n{text}", "42", full_text=True).is_correct
