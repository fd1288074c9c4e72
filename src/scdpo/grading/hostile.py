"""What must not reach symbolic mathematics: answers whose evaluation could take more time or memory than a verdict is worth.

A filter on characters, in linear time. What passes is still computed behind a memory limit and a wall clock (see symbolic).
"""

from __future__ import annotations

import re

LONGEST = 400
DEEPEST = 24
LARGEST_EXPONENT = 10_000
LARGEST_FACTORIAL = 1_000
LARGEST_BOUND = 1_000
MOST_DIGITS = 60

EXPONENT = re.compile(r"\^\s*(?:\{\s*([^{}]*)\}|(\d))|\*\*\s*\(?\s*(-?\d+)")
TOWER = re.compile(r"\^\s*(?:\{[^{}]*(?:\^|!)|[^{}]\s*\^|\{[^{}]*\{[^{}]*\}[^{}]*\^)|\*\*\s*\(?\s*\w+\s*(?:\*\*|\^)")
FACTORIAL = re.compile(r"(\d+|[)}])\s*!(?!=)")
DOUBLE_FACTORIAL = re.compile(r"!\s*\)?\s*\}?\s*!")
BIG_OPERATOR = re.compile(r"\\(?:sum|prod|int|lim|binom|dbinom|tbinom|choose|bigcup|bigcap)(?![a-zA-Z])")
LONG_DIGITS = re.compile(rf"\d{{{MOST_DIGITS + 1},}}")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def too_costly(text: str) -> str | None:
    """Why an answer is not given to symbolic mathematics, or None."""
    if len(text) > LONGEST:
        return f"over {LONGEST} characters"
    if CONTROL.search(text):
        return "control characters"
    depth = _depth(text)
    if depth is None:
        return "unbalanced braces"
    if depth > DEEPEST:
        return f"nested deeper than {DEEPEST}"
    if TOWER.search(text):
        return "a power tower"
    if any(_large(number, LARGEST_EXPONENT) for match in EXPONENT.finditer(text) for number in _numbers(match.group())):
        return "a huge exponent"
    if DOUBLE_FACTORIAL.search(text) or any(_huge_factorial(match.group(1)) for match in FACTORIAL.finditer(text)):
        return "a huge factorial"
    if BIG_OPERATOR.search(text) and any(_large(number, LARGEST_BOUND) for number in _numbers(text)):
        return "a sum, product or binomial with huge bounds"
    if LONG_DIGITS.search(text):
        return f"a number of over {MOST_DIGITS} digits"
    return None


def _depth(text: str) -> int | None:
    """How deep brackets nest; None where braces do not match."""
    depth = deepest = braces = 0
    for match in re.finditer(r"\\[{}]|[()\[\]{}]", text):
        mark = match.group()
        if mark in "([{":
            depth += 1
            braces += mark == "{"
            deepest = max(deepest, depth)
        elif mark in ")]}":
            depth = max(0, depth - 1)
            braces -= mark == "}"
            if braces < 0:
                return None
    return None if braces else deepest


def _numbers(text: str) -> list[str]:
    return re.findall(r"\d+", text)


def _large(number: str, limit: int) -> bool:
    return len(number) > 9 or int(number) > limit


def _huge_factorial(operand: str) -> bool:
    return not operand.isdigit() or _large(operand, LARGEST_FACTORIAL)
