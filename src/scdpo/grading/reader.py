"""What the readers of arithmetic and of algebra share: tokens, sums, braces, a bound on depth. Nothing is evaluated as code."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Generic, TypeVar

N = TypeVar("N", Fraction, Decimal)
DEEPEST = 40


class Unread(Exception):
    """The text is not of the kind that is read here, or too large a one."""


class Reader(Generic[N]):
    """Recursive descent over the tokens of a text; a subclass says what a product is.

    token: matches one token with the white space around it. Raises Unread for a text that holds anything else.
    """

    def __init__(self, text: str, token: re.Pattern[str]) -> None:
        self.tokens: list[str] = []
        self.place, self.depth, start = 0, 0, 0
        while start < len(text):
            match = token.match(text, start)
            if not match:
                raise Unread
            self.tokens.append(match.group().strip().replace(",", "").replace(" ", ""))
            start = match.end()

    def whole(self) -> N:
        """The value of all tokens."""
        value = self.sum()
        if self.place != len(self.tokens):
            raise Unread
        return value

    def product(self) -> N:
        raise NotImplementedError

    def bounded(self, value: N) -> N:
        """The value, where it is not larger than it may be."""
        return value

    def peek(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        token = self.peek()
        if not token or (expected and token != expected):
            raise Unread
        self.place += 1
        return token

    def sum(self) -> N:
        self.depth += 1
        if self.depth > DEEPEST:
            raise Unread
        value = self.product()
        while self.peek() in ("+", "-"):
            plus = self.take() == "+"
            term = self.product()
            value = self.bounded(value + term if plus else value - term)
        self.depth -= 1
        return value

    def enclosed(self, opening: str, closing: str) -> N:
        """The sum between two brackets."""
        self.take(opening)
        value = self.sum()
        self.take(closing)
        return value

    def fraction(self) -> N:
        """What follows `\\frac`."""
        top = self.enclosed("{", "}")
        return self.bounded(top / self.enclosed("{", "}"))
