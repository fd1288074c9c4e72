"""Is this solution right? Correct, wrong or undecided, with the reason.

Undecided is for whatever cannot be trusted as a mistake: cut off, garbled, without an answer. Knows no model.
"""

from __future__ import annotations

from collections.abc import Collection

from scdpo.grading.answers import final_answer, same_answer
from scdpo.solutions.solution import FinishReason, Solution
from scdpo.solutions.verdict import Verdict

REPEATS = 4


def grade(text: str, gold: str, finish: FinishReason = "end") -> Verdict:
    """The verdict on a solution's text against the gold answer."""
    if finish == "length":
        return Verdict("undecided", final_answer(text), "ran out of tokens")
    flaw = garbled(text)
    if flaw:
        return Verdict("undecided", final_answer(text), f"garbled: {flaw}")
    answer = final_answer(text)
    if answer is None:
        return Verdict("undecided", None, "no final answer")
    same = same_answer(answer, gold)
    if same is None:
        return Verdict("undecided", answer, "the answer cannot be compared with the gold one")
    return Verdict("correct", answer) if same else Verdict("wrong", answer, "another answer")


def garbled(text: str) -> str | None:
    """What shows that a text is noise rather than a solution, or None.

    A raised temperature can end in noise; such a text teaches nothing about mathematics (paper, section 3.1).
    """
    if any(character == "\ufffd" or (ord(character) < 32 and character not in "\n\t\r") for character in text):
        return "broken characters"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    answers = [index for index, line in enumerate(lines) if line.startswith("####")]
    if len(answers) > 1:
        return "several final answers"
    if answers and answers[0] != len(lines) - 1:
        return "text after the final answer"
    if any(lines.count(line) >= REPEATS for line in set(lines)):
        return f"a step repeated {REPEATS} times or more"
    return None


def is_preferred(solution: Solution, banned: Collection[str]) -> bool:
    """Whether a solution may be a chosen one: correct, and free of words like "error" and "apolog" (section 3.1)."""
    text = solution.text.casefold()
    return solution.verdict.is_correct and not any(word.casefold() in text for word in banned)
