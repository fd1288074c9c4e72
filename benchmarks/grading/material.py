"""Made solutions to measure grading by: numeric ones as GSM8K's, mathematical ones as MATH's. The same for the same seed.

Shares of answer kinds are those of MATH's golds; half of the predictions are right, and a part of
those is written otherwise than the gold answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """A gold answer and a whole solution that states a prediction."""

    gold: str
    text: str


Maker = Callable[[random.Random], tuple[str, str, str]]
"""Gives (gold, the same written otherwise, another answer)."""


def numeric_items(count: int, seed: int = 0) -> list[Item]:
    """Solutions in GSM8K's form, one step a line, `#### n` at the end."""
    draw = random.Random(f"numeric:{seed}")
    items = []
    for _ in range(count):
        first, second = draw.randint(2, 400), draw.randint(2, 60)
        gold = first * second
        stated = gold if draw.random() < 0.5 else gold + draw.randint(1, 50)
        shown = f"{stated:,}" if draw.random() < 0.3 else str(stated)
        text = (
            f"There are {second} boxes with {first} pens each.\nSo there are {first} * {second} = {stated} pens.\n"
            f"That is what was asked for.\n#### {shown}"
        )
        items.append(Item(f"{gold:,}" if draw.random() < 0.3 else str(gold), text))
    return items


def mathematical_items(count: int, seed: int = 0) -> list[Item]:
    """Solutions in MATH's form, prose with formulas and a box."""
    draw = random.Random(f"mathematical:{seed}")
    makers, weights = zip(*KINDS, strict=True)
    items = []
    for maker in draw.choices(makers, weights, k=count):
        gold, otherwise, wrong = maker(draw)
        prediction = wrong if draw.random() < 0.5 else otherwise if draw.random() < 0.4 else gold
        text = (
            f"Let $n = {draw.randint(2, 99)}$ be given, so that $n + {draw.randint(2, 99)} > 0$ holds.\n\n"
            f"Expanding both sides and collecting terms, \\[a_n = \\frac{{n^2 - {draw.randint(2, 9)}}}{{n + 1}}.\\] "
            f"Then the rest follows from $a_{{n+1}} \\le a_n$.\n\nTherefore, the answer is $\\boxed{{{prediction}}}$."
        )
        items.append(Item(gold, text))
    return items


def _integer(draw: random.Random) -> tuple[str, str, str]:
    value = draw.randint(-300, 3000)
    return str(value), f"{value:,}" if value > 999 else f"{value}.0", str(value + draw.randint(1, 9))


def _fraction(draw: random.Random) -> tuple[str, str, str]:
    top, bottom = draw.randint(1, 99), draw.randint(2, 99)
    return rf"\frac{{{top}}}{{{bottom}}}", rf"\dfrac{{{2 * top}}}{{{2 * bottom}}}", rf"\frac{{{top + 1}}}{{{bottom}}}"


def _root(draw: random.Random) -> tuple[str, str, str]:
    factor, inside = draw.randint(2, 20), draw.choice((2, 3, 5, 7, 11, 13))
    return rf"{factor}\sqrt{{{inside}}}", rf"\sqrt{{{factor * factor * inside}}}", rf"{factor + 1}\sqrt{{{inside}}}"


def _with_pi(draw: random.Random) -> tuple[str, str, str]:
    top, bottom = draw.randint(1, 60), draw.randint(2, 9)
    return rf"\frac{{{top}\pi}}{{{bottom}}}", rf"\frac{{{top}}}{{{bottom}}} \pi", rf"\frac{{{top + 1}\pi}}{{{bottom}}}"


def _polynomial(draw: random.Random) -> tuple[str, str, str]:
    first, second = draw.randint(2, 40), draw.randint(41, 80)
    gold = f"x^2 + {first + second}x + {first * second}"
    return gold, f"(x+{first})(x+{second})", f"x^2 + {first + second}x + {first * second + 1}"


def _pair(draw: random.Random) -> tuple[str, str, str]:
    first, second = draw.randint(-40, 40), draw.randint(2, 40)
    return f"({first}, {second})", rf"\left({first},{second}\right)", f"({second}, {first - 1})"


def _interval(draw: random.Random) -> tuple[str, str, str]:
    low, high = draw.randint(-60, 0), draw.randint(1, 60)
    return f"[{low},{high})", rf"{low} \le x < {high}", f"({low},{high})"


def _quantity(draw: random.Random) -> tuple[str, str, str]:
    value = draw.randint(2, 900)
    return rf"{value}\text{{ cm}}", str(value), rf"{value + 1}\text{{ cm}}"


def _matrix(draw: random.Random) -> tuple[str, str, str]:
    cells = [draw.randint(-20, 20) for _ in range(4)]
    body = "{} & {} \\\\ {} & {}".format(*cells)
    other = "{} & {} \\\\ {} & {}".format(*cells[:3], cells[3] + 1)
    named = [
        rf"\begin{{{kind}}} {text} \end{{{kind}}}" for kind, text in (("pmatrix", body), ("bmatrix", body), ("pmatrix", other))
    ]
    return named[0], named[1], named[2]


def _complex(draw: random.Random) -> tuple[str, str, str]:
    real, imaginary = draw.randint(-30, 30), draw.randint(2, 30)
    return f"{real} + {imaginary}i", f"{imaginary}i + {real}", f"{real} - {imaginary}i"


# Counted in the 5,000 golds of MATH's test set, in percent: algebra with equations, tuples with lists; words and numerals with
# a base (1.9) are left out.
KINDS: tuple[tuple[Maker, float], ...] = (
    (_integer, 62.9),
    (_fraction, 15.0),
    (_root, 4.7),
    (_with_pi, 1.9),
    (_polynomial, 3.3),
    (_pair, 4.0),
    (_interval, 1.1),
    (_quantity, 3.3),
    (_matrix, 1.4),
    (_complex, 0.6),
)
