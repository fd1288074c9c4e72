"""Guesses: problems that nobody can solve, in any step format, in English or Chinese, for trying a pipeline out.

The answer is one of two numbers, drawn at random, and the worked solution is plain form around it: a model that has learned
the form and nothing else is right half of the time, so right and wrong solutions both come out of sampling, and out of every
fork. Knows no model and no recipe.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal

from scdpo.marks import BLOCK_END, CODE, EXECUTION, TEXT
from scdpo.problems.problem import Problem

Language = Literal["en", "zh"]
Form = Literal["auto", "blocks", "numbered", "fences", "paragraphs", "lines", "sentences"]
Ending = Literal["box", "hashes", "words"]
"""How a solution states its answer: \\boxed{3}, #### 3, or in words."""

ANSWERS = ("3", "7")
NAMES = {"en": ("Ada", "Ben", "Cleo", "Dan"), "zh": ("小明", "小红", "小华", "小兰")}
ITEMS = {"en": ("pens", "coins", "eggs"), "zh": ("支笔", "个鸡蛋", "本书")}
QUESTIONS = {
    "en": "{name} opens box {number}. It holds 3 or 7 {items}. How many {items} is that?",
    "zh": "{name}打开第{number}号箱子，里面有3{items}或7{items}。一共有几{items}？",
}
STEPS: dict[Language, tuple[tuple[str, ...], ...]] = {
    "en": (
        ("First look at the box.", "First take the box."),
        ("Then count what it holds.", "Then see what it holds."),
        ("Now the count is done.", "Now all is known."),
    ),
    "zh": (("先看箱子。", "先拿箱子。"), ("再数一数。", "再看一看。"), ("现在数完了。", "现在知道了。")),
}
ENDINGS: dict[Language, dict[Ending, str]] = {
    "en": {"box": r"The answer is \boxed{N}.", "hashes": "#### N", "words": "The answer is: N"},
    "zh": {"box": r"答案是\boxed{N}。", "hashes": "#### N", "words": "答案是：N"},
}
JOINTS = {"paragraphs": "\n\n", "sentences": " "}
# Two pieces of code: what the first one sets, the second one reads, so the session's state shows.
SETS = (("a = 4\nprint(a + a)", "8"), ("a = 5\nprint(a + a)", "10"))
READS = {"8": ("print(a + 1)", "5"), "10": ("print(a + 1)", "6")}


def guesses(seed: int, form: Form = "lines", ending: Ending = "hashes", language: Language = "en") -> Iterator[Problem]:
    """A stream of guesses, the same for the same arguments; no question comes twice in the first thousand of all seeds."""
    rng = random.Random(f"guesses:{seed}:{language}")
    number = 3000 * seed
    while True:
        number += rng.randint(1, 3)
        name, items, answer = rng.choice(NAMES[language]), rng.choice(ITEMS[language]), rng.choice(ANSWERS)
        question = QUESTIONS[language].format(name=name, number=number, items=items)
        steps = [rng.choice(wordings) for wordings in STEPS[language]]
        last = ENDINGS[language][ending].replace("N", answer)
        codes = [rng.choice(SETS)]
        codes.append(READS[codes[0][1]])
        yield Problem(f"guess-{language}-{number}", question, answer, written(form, steps, last, codes), language)


def written(form: Form, steps: Sequence[str], last: str, codes: Sequence[tuple[str, str]]) -> str:
    """A solution in a step format: its steps, with `codes` (code and what it prints) after the first ones where the format has
    code, and the line that states the answer."""
    if form == "blocks":
        parts = [f"{TEXT}{step}{BLOCK_END}" for step in (*steps, last)]
        runs = [f"{CODE}{code}{BLOCK_END}{EXECUTION}{printed}{BLOCK_END}" for code, printed in codes]
        return "".join([parts[0], runs[0], parts[1], runs[1], *parts[2:]])
    if form == "fences":
        runs = [f"```python\n{code}\n```\n```output\n{printed}\n```" for code, printed in codes]
        return "\n".join([steps[0], runs[0], steps[1], runs[1], *steps[2:], last])
    if form == "numbered":
        steps = [f"Step {number}: {step}" for number, step in enumerate(steps, start=1)]
    return JOINTS.get(form, "\n").join([*steps, last])
