"""Is this answer right? Correct, wrong or undecided, with the answer found, the rule that decided, and the reason.

Undecided is for whatever cannot be trusted as a mistake: cut off, garbled, without an answer, not comparable, too costly to
compare. Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from numbers import Real

from scdpo.errors import GradingError
from scdpo.grading.comparison import Ask, Match, compare
from scdpo.grading.extraction import GUESSES, STATED, extract
from scdpo.grading.symbolic import SymbolicGrader
from scdpo.solutions.solution import FinishReason, Solution
from scdpo.solutions.verdict import Verdict

REPEATS = 4
LONGEST_TEXT = 200_000
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd\ud800-\udfff]")
CHAT = re.compile(
    r"(?=(?:\S+\s+){2})(?i:i hope|hope|let me know|if you|feel free|please|this|that|so|therefore|thus|note)\b[^\d#=]*[.!?]"
)
MARKUP = re.compile(r"\\(?:begin|end)\{[^}]*\}|\\\[|\\\]|\$\$|```\w*|[^\w]*|\\hline")


def grade(
    prediction: str | float, gold: str | float, full_text: bool = False, finish: FinishReason = "end", ask: Ask | None = None
) -> Verdict:
    """The verdict on an answer, or with `full_text` on a whole solution, against the gold answer.

    gold may itself be a solution that states its answer (in a box, after `####`). finish: "length" for a solution that ran
    out of tokens, which is undecided. ask: who compares mathematics; a worker process of this one by default.
    Raises GradingError where that worker does not start and TypeError for an answer that is neither text nor a number.
    """
    prediction, gold = as_answer(prediction), as_answer(gold)
    if len(prediction) > LONGEST_TEXT:
        return Verdict("undecided", None, f"a text of over {LONGEST_TEXT:,} characters")
    found = extract(prediction, whole=not full_text)
    answer = found.text if found else None
    if finish == "length":
        return Verdict("undecided", answer, "ran out of tokens")
    flaw = garbled(prediction) if full_text else _broken(prediction)
    if flaw:
        return Verdict("undecided", answer, f"garbled: {flaw}")
    if found is None:
        return Verdict("undecided", None, "no final answer")
    if not found.text:
        return Verdict("undecided", None, "an empty answer", found.rule)
    expected = extract(gold, whole=True)
    if expected is None or not expected.text:
        return Verdict("undecided", answer, "no gold answer")
    match = compare_safely(found.text, expected.text, ask or default_grader().ask)
    rule = f"{found.rule}: {match.rule}"
    if match.same:
        return Verdict("correct", answer, rule=rule)
    if match.same is None:
        return Verdict("undecided", answer, match.reason or "the answer cannot be compared with the gold one", rule)
    if found.rule in GUESSES:
        return Verdict("undecided", answer, "no final answer", rule)
    return Verdict("wrong", answer, match.reason or "another answer", rule)


def as_answer(value: str | float) -> str:
    """An answer as text; a float that is a whole number without its point. Raises TypeError for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"an answer is a text or a number, not {type(value).__name__}")
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


def compare_safely(prediction: str, gold: str, ask: Ask) -> Match:
    """`compare`, where a defect of ours costs the one verdict and not a run of thousands."""
    try:
        return compare(prediction, gold, ask)
    except GradingError:
        raise
    except Exception as error:
        return Match(None, "error", f"could not be compared ({type(error).__name__}); please report the two answers")


@lru_cache(maxsize=1)
def default_grader() -> SymbolicGrader:
    """The symbolic grader that this process shares."""
    return SymbolicGrader()


def garbled(text: str) -> str | None:
    """What shows that a text is noise rather than a solution, or None.

    A raised temperature can end in noise; such a text teaches nothing about mathematics (paper, section 3.1).
    """
    broken = _broken(text)
    if broken:
        return broken
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "\\boxed" not in text:
        answers = [index for index, line in enumerate(lines) if re.match(r"####\s*[^\s#]", line) or line == "####"]
        stated = [index for index in answers if not re.match(r"####\s*[*]*[A-Za-z\d]+[.):]?\s+\w", lines[index])]
        if len(stated) > 1:
            return "several final answers"
        if stated and any(not STATED.search(line) and not CHAT.fullmatch(line) for line in lines[stated[0] + 1 :]):
            return "text after the final answer"
    counts: dict[str, int] = {}
    for line in lines:
        counts[line] = counts.get(line, 0) + 1
        if counts[line] >= max(REPEATS, len(lines) / 4) and not MARKUP.fullmatch(line):
            return f"a step repeated {REPEATS} times or more"
    return None


def _broken(text: str) -> str | None:
    return "broken characters" if CONTROL.search(text) else None


def is_preferred(solution: Solution, banned: Collection[str]) -> bool:
    """Whether a solution may be a chosen one: correct by a stated answer, and free of words like "error" (section 3.1).

    Words in code and its outputs count too; a solution whose code the clock or a limit stopped is none.
    """
    text = solution.text.casefold()
    verdict = solution.verdict
    return (
        verdict.is_correct
        and solution.is_sound
        and not verdict.is_guess
        and not any(word.casefold() in text for word in banned)
    )
