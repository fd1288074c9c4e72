"""Final answers: finding them in a solution and comparing them exactly. Nothing from a model is ever evaluated."""

from __future__ import annotations

import re
from fractions import Fraction

FINAL = re.compile(r"####[ \t]*([^\n]*)")
NUMBER = re.compile(r"[-+]?(\d+(\.\d+)?|\.\d+)(/\d+)?")
LONGEST_NUMBER = 60


def final_answer(text: str) -> str | None:
    """What follows the last `####`, the form of GSM8K's solutions; None where there is nothing."""
    found = FINAL.findall(text)
    return (found[-1].strip() or None) if found else None


def as_number(answer: str) -> Fraction | None:
    """The exact value of a plain number (`1,234`, `$36.0`, `3/4`), or None."""
    plain = answer.strip().rstrip(".").replace(",", "").replace("$", "").replace(" ", "")
    if len(plain) > LONGEST_NUMBER or not NUMBER.fullmatch(plain):
        return None
    numerator, _, denominator = plain.partition("/")
    if denominator and int(denominator) == 0:
        return None
    return Fraction(numerator) / (Fraction(denominator) if denominator else 1)


def same_answer(prediction: str, gold: str) -> bool | None:
    """Whether two answers are equal: as numbers (36 and 36.0), else letter by letter; None where they cannot be compared."""
    predicted, expected = as_number(prediction), as_number(gold)
    if (predicted is None) != (expected is None):
        return None
    if predicted is not None:
        return predicted == expected
    return prediction.strip().casefold() == gold.strip().casefold()
