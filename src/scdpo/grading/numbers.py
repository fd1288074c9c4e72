"""Exact numbers: plain arithmetic read as fractions, and when two numbers are the same answer.

Reads digits, signs, brackets, fractions and powers of bounded size with its own parser; nothing is ever
evaluated as code. Works on what `clean` gives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from scdpo.grading.reader import Reader, Unread

MOST_BITS = 20_000
ROUNDED_DECIMALS = 6
FLOAT_DECIMALS = 9
FLOAT_TOLERANCE = Fraction(1, 10**9)

TOKEN = re.compile(
    r"\s*(?:(?P<number>[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?|\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?"
    r"|\d{1,3}(?: \d{3})+(?![\d/,])(?:\.\d+)?|\d+\.?\d*(?:[eE][-+]?\d{1,4}(?![\d.]))?|\.\d+)"
    r"|(?P<mark>\\frac(?![a-zA-Z])|\\times(?![a-zA-Z])|\\cdot(?![a-zA-Z])|[-+*/^(){}\[\]]))\s*"
)
REPEATING = re.compile(r"(-?)(\d*)\.(\d*)(?:\\overline\s*\{(\d+)\}|\\(?:dot|bar)\s*\{(\d+)\}|\((\d+)\))")
ENDLESS = re.compile(r"(-?)(\d*)\.(\d*?)(\d+?)\4{2,}\s*(?:\.\.\.|\\(?:l|c)?dots)")
MIXED_WORDS = re.compile(r"^(-?\d+) and (\d+/\d+|\\frac\{\d+\}\{\d+\})$")
BRACKETS = {"(": ")", "{": "}", "[": "]"}
PLAIN = re.compile(r"[-+]?\s*(?:\d+|[1-9]\d{0,2}(?:,\d{3})+)?(?:\.(\d*))?")
SCIENTIFIC_X = re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)")
SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
ROUND = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
ONES = {word: value for value, word in enumerate(SMALL)}
TENS = {word: 10 * value for value, word in enumerate(ROUND, start=2)}
PARTS = {"half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
SCALES = {"dozen": 12, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
CHINESE_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
CHINESE_SCALES = {"十": 10, "百": 100, "千": 1000}
CHINESE_SECTIONS = {"万": 10**4, "亿": 10**8}


@dataclass(frozen=True, slots=True)
class Number:
    """An exact value. decimals: how many decimals it was written with; None where it was written as no plain decimal."""

    value: Fraction
    decimals: int | None = None


def read_number(text: str) -> Number | None:
    """The value of a number or of plain arithmetic (`1,234`, `1\\frac{2}{3}`, `1.5 \\times 10^3`, `thirty-six`), or None."""
    plain = PLAIN.fullmatch(text)
    if plain and any(character.isdigit() for character in text):
        decimals = plain.group(1)
        digits = text.replace(",", "").replace(" ", "")
        return Number(Fraction(digits.rstrip(".")), len(decimals) if decimals else 0)
    repeating = REPEATING.fullmatch(text) or ENDLESS.fullmatch(text)
    if repeating:
        return Number(_repeating(*(group for group in repeating.groups() if group is not None)))
    if not text or not (text[0].isdigit() or text[0] in "+-.(\\{["):
        value = read_words(text)
        return None if value is None else Number(value)
    try:
        return Number(_Arithmetic(SCIENTIFIC_X.sub(r"\\times ", MIXED_WORDS.sub(r"\1 \2", text)), TOKEN).whole())
    except (Unread, ZeroDivisionError):
        return None


def _repeating(sign: str, whole: str, fixed: str, period: str) -> Fraction:
    """The value of whole.fixed with `period` repeated for ever."""
    value = Fraction(int(whole or "0")) + Fraction(int(fixed or "0"), 10 ** len(fixed))
    value += Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(fixed))
    return -value if sign else value


def same_number(prediction: Number, gold: Number) -> bool | None:
    """Whether two numbers are the same answer; None where the gold one is itself a rounding of the prediction.

    Equal values are. A decimal of six or more places is also the value that it rounds or cuts off (0.333333 and 1/3; 0.333
    is not), and two floats of nine or more places may differ by 1e-9 of their size.
    """
    if prediction.value == gold.value:
        return True
    if _writes(prediction, gold.value) or _writes(gold, prediction.value):
        return True
    if max(prediction.decimals or 0, gold.decimals or 0) >= FLOAT_DECIMALS and _close(prediction.value, gold.value):
        return True
    finer = prediction.decimals is None or prediction.decimals > (gold.decimals or 0)
    return None if gold.decimals and finer and _rounds(prediction.value, gold.decimals, gold.value) else False


def _writes(decimal: Number, value: Fraction) -> bool:
    places = decimal.decimals or 0
    return places >= ROUNDED_DECIMALS and _rounds(value, places, decimal.value)


def _rounds(value: Fraction, places: int, shown: Fraction) -> bool:
    """Whether `value` with `places` decimals, rounded or cut off, is `shown`."""
    unit = Fraction(1, 10**places)
    return abs(value - shown) <= unit / 2 or (abs(shown) < abs(value) and value * shown > 0 and abs(value - shown) < unit)


def _close(first: Fraction, second: Fraction) -> bool:
    return abs(first - second) <= FLOAT_TOLERANCE * max(abs(first), abs(second))


class _Arithmetic(Reader[Fraction]):
    """Sums, products, powers and fractions; every result stays below MOST_BITS bits."""

    def bounded(self, value: Fraction) -> Fraction:
        if max(value.numerator.bit_length(), value.denominator.bit_length()) > MOST_BITS:
            raise Unread
        return value

    def product(self) -> Fraction:
        value = self.signed()
        while True:
            token = self.peek()
            if token in ("*", "\\times", "\\cdot"):
                self.take()
                value = self.bounded(value * self.signed())
            elif token == "/":
                self.take()
                value = self.bounded(value / self.signed())
            else:
                return value

    def signed(self) -> Fraction:
        if self.peek() in ("+", "-"):
            return (1 if self.take() == "+" else -1) * self.signed()
        return self.power()

    def power(self) -> Fraction:
        base = self.atom()
        if self.peek() != "^":
            return base
        self.take()
        exponent = self.atom()
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if exponent.denominator != 1 or bits * abs(exponent) > MOST_BITS:
            raise Unread
        return base ** int(exponent)

    def atom(self) -> Fraction:
        if self.peek() in BRACKETS:
            return self.enclosed(self.peek(), BRACKETS[self.peek()])
        token = self.take()
        if token == "\\frac":
            return self.fraction()
        if not token[0].isdigit() and token[0] != ".":
            raise Unread
        value = _literal(token)
        return value + self.mixed_part() if value.denominator == 1 and token.isdigit() else value

    def mixed_part(self) -> Fraction:
        """The fraction after a whole number that is added to it (`1\\frac{2}{3}`, `1 2/3`, APE210K's `1(2/3)`), else 0."""
        rest = self.tokens[self.place : self.place + 7]
        if len(rest) == 7 and rest[0] == "\\frac" and rest[1::3] == ["{", "{"] and rest[3::3] == ["}", "}"]:
            parts, length = (rest[2], rest[5]), 7
        elif len(rest) >= 5 and rest[0] == "(" and rest[2] == "/" and rest[4] == ")":
            parts, length = (rest[1], rest[3]), 5
        elif len(rest) >= 3 and rest[1] == "/" and rest[0].isdigit():
            parts, length = (rest[0], rest[2]), 3
        else:
            return Fraction(0)
        if not all(part.isdigit() for part in parts) or not 0 < int(parts[0]) < int(parts[1]):
            raise Unread
        self.place += length
        return Fraction(int(parts[0]), int(parts[1]))


def _literal(token: str) -> Fraction:
    exponent = token.lower().partition("e")[2]
    if exponent and abs(int(exponent)) > 400:
        raise Unread
    return Fraction(token)


def read_words(text: str) -> Fraction | None:
    """The value of a number in English or Chinese words (`thirty-six`, `two thirds`, `三十六`), or None."""
    if not text or len(text) > 80:
        return None
    if all(character in CHINESE_DIGITS or character in CHINESE_SCALES or character in CHINESE_SECTIONS for character in text):
        return Fraction(_chinese(text))
    words = [word for word in re.split(r"[\s-]+", text.casefold()) if word != "and"]
    if not words:
        return None
    part = PARTS.get(words[-1]) or PARTS.get(words[-1].removesuffix("s"))
    if part and len(words) <= 3:
        count = read_words(" ".join(words[:-1])) if words[:-1] not in ([], ["a"], ["one"]) else Fraction(1)
        return None if count is None else count / part
    if any(word not in ONES and word not in TENS and word not in SCALES and word != "hundred" for word in words):
        return None
    total = group = 0
    for word in words:
        if word == "hundred":
            group = max(1, group) * 100
        elif word in SCALES:
            total, group = total + max(1, group) * SCALES[word], 0
        else:
            group += ONES.get(word, 0) + TENS.get(word, 0)
    return Fraction(total + group)


def _chinese(text: str) -> int:
    if all(character in CHINESE_DIGITS for character in text):
        return int("".join(str(CHINESE_DIGITS[character]) for character in text))
    total, section, digit, last = 0, 0, None, 10**12
    for character in text:
        if character in CHINESE_DIGITS:
            digit = CHINESE_DIGITS[character]
            continue
        if character in CHINESE_SCALES:
            section += (1 if digit is None else digit) * CHINESE_SCALES[character]
        else:  # 三万亿 is three times both, 一亿二千万 their sum
            scale, section = CHINESE_SECTIONS[character], section + (digit or 0)
            total = (max(1, total + section)) * scale if scale >= last else total + max(1, section) * scale
            section, last = 0, scale
        digit = None
    return total + section + (digit or 0)
