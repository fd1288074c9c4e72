"""Whether two plain expressions (roots, pi, letters, powers, fractions) are equal, by their values to 80 digits.

Two expressions that differ do so at any point but a few, so equal values at two odd points are as good as a proof, and other
values are one. Reads an unambiguous part of LaTeX with its own parser, in bounded time; whatever else is left to Math-Verify.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal, DecimalException, Overflow, localcontext
from functools import lru_cache

from scdpo.grading.reader import Reader, Unread

DIGITS = 80
EQUAL = Decimal(10) ** -60
DIFFERENT = Decimal(10) ** -30
LARGEST_EXPONENT = 300
PI = Decimal("3.1415926535897932384626433832795028841971693993751058209749445923078164062862089986280348253421170679821480865")
E = Decimal("2.7182818284590452353602874713526624977572470936999595749669676277240766303535475945713821785251664274274663919")
POINTS = (Decimal("0.61803398874989484820"), Decimal("1.75487766624669276005"), Decimal("-3.30277563773199464656"))
POSITIVE, NEGATIVE = (0, 1), 2
TOKEN = re.compile(
    r"\s*(?:(?P<number>[1-9]\d{0,2}(?:,\d{3})+(?!\d)|\d+(?:\.\d{1,5})?(?!\d)|\.\d{1,5}(?!\d))|(?P<name>[a-zA-Z])"
    r"|(?P<mark>\\(?:frac|sqrt|pi|cdot|times)(?![a-zA-Z])|[-+*/^(){}\[\]]))\s*"
)
WORD = re.compile(r"(?<!\\)[a-zA-Z]{4,}")
FUNCTION = re.compile(r"(?<![a-zA-Z\\])[fgh]\s*(?:\(|\{)")
BRACKETS = {"(": ")", "{": "}"}
FACTOR_STARTS = re.compile(r"[a-zA-Z(]|\\(?:frac|sqrt|pi)$")


def equal_by_value(prediction: str, gold: str) -> bool | None:
    """Whether two expressions are equal; None where one of them is not read here, or the values leave it open."""
    for index in POSITIVE:
        first, second = value_at(prediction, index), value_at(gold, index)
        if first is None or second is None:
            return None
        difference, size = abs(first - second), max(abs(first), abs(second), Decimal("1e-6"))
        if difference > size * DIFFERENT:
            return False
        if difference > size * EQUAL:
            return None
    return True


def differ_for_negatives(prediction: str, gold: str) -> bool:
    """Whether two expressions that are equal for positive letters differ for negative ones, as `\\sqrt{x^2}` and `x` do."""
    first, second = value_at(prediction, NEGATIVE), value_at(gold, NEGATIVE)
    return first is not None and second is not None and abs(first - second) > max(abs(first), abs(second)) * DIFFERENT


@lru_cache(maxsize=4096)
def value_at(text: str, index: int) -> Decimal | None:
    """The value of an expression with its letters at point `index`, or None."""
    if len(text) > 300 or WORD.search(text) or FUNCTION.search(text):
        return None
    context = Context(prec=DIGITS, Emax=9999, Emin=-9999)
    context.traps[Overflow] = True
    try:
        with localcontext(context):
            return _Expression(text, index).whole()
    except (Unread, DecimalException):
        return None


class _Expression(Reader[Decimal]):
    """Sums, products by sign or by standing side by side, powers, fractions and roots, with the letters at a point."""

    def __init__(self, text: str, index: int) -> None:
        super().__init__(text, TOKEN)
        self.index = index

    def product(self) -> Decimal:
        if self.peek() in ("+", "-"):
            return self.product() if self.take() == "+" else -self.product()
        value = self.power()
        divided = False
        while True:
            token = self.peek()
            if token in ("*", "\\cdot", "\\times"):
                self.take()
                value, divided = value * self.power(), False
            elif token == "/":
                self.take()
                value, divided = value / self.power(), True
            elif FACTOR_STARTS.match(token):
                mixed = token == "\\frac" and self.tokens[self.place - 1].isdigit()
                if divided or mixed:  # 1/2x and 2\frac{1}{3} are read in two ways
                    raise Unread
                value *= self.power()
            else:
                return value

    def power(self) -> Decimal:
        base = self.atom()
        if self.peek() != "^":
            return base
        self.take()
        exponent = -self.atom() if self.peek() == "-" and self.take() else self.atom()
        if abs(exponent) > LARGEST_EXPONENT:
            raise Unread
        return base**exponent

    def atom(self) -> Decimal:
        if self.peek() in BRACKETS:
            return self.enclosed(self.peek(), BRACKETS[self.peek()])
        token = self.take()
        if token == "\\frac":
            return self.fraction()
        if token == "\\sqrt":
            return self.root()
        if token == "\\pi":
            return PI
        if token == "e":
            return E
        if token.isalpha() and token != "i":
            return POINTS[self.index] + ord(token) % 32 * Decimal("0.0831") + (Decimal("0.37") if token.isupper() else 0)
        if token[0].isdigit() or token[0] == ".":
            return Decimal(token)
        raise Unread

    def root(self) -> Decimal:
        degree = 2
        if self.peek() == "[":
            self.take()
            name = self.take()
            self.take("]")
            if not name.isdigit() or not 2 <= int(name) <= 20:
                raise Unread
            degree = int(name)
        inside = self.enclosed("{", "}")
        return inside.sqrt() if degree == 2 else inside ** (1 / Decimal(degree))
