"""Numerals with a base: `1010_2`, `152A_{11}`, `1010 (base 2)`. Works on what `clean` gives."""

from __future__ import annotations

import re
from dataclasses import dataclass

NUMERAL = re.compile(
    r"\(?(-?\s*[0-9A-Za-z]+(?:\.[0-9A-Za-z]+)?)\)?\s*(?:_\s*(?:\{\s*\(?\s*(\w+)\s*\)?\s*\}|(\w+))|\(?\s*(?:in\s+)?base\s*-?\s*(\w+)\s*\)?)"
)
NAMES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9"} | {
    "ten": "10", "eleven": "11", "twelve": "12", "sixteen": "16", "binary": "2", "octal": "8", "hexadecimal": "16"
}  # fmt: skip
PLAIN = re.compile(r"-?[0-9A-Fa-f]+(?:\.[0-9A-Fa-f]+)?")


@dataclass(frozen=True, slots=True)
class Numeral:
    """Digits with their sign, upper case and without zeros in front. base: None where the text names none."""

    digits: str
    base: int | None

    @property
    def value(self) -> int | None:
        """The whole number, in base ten where none is named; None for one with a point or with a digit too large."""
        try:
            return int(self.digits, self.base or 10)
        except ValueError:
            return None


def read_numeral(text: str) -> Numeral | None:
    """A numeral with or without a base; None for what is none, such as a letter with an index (`x_2`)."""
    match = NUMERAL.fullmatch(text)
    if not match:
        plain = text.replace(" ", "").replace(",", "")
        return Numeral(_digits(plain), None) if PLAIN.fullmatch(plain) else None
    name = next(group for group in match.groups()[1:] if group).casefold()
    base = NAMES.get(name, name)
    if not base.isdecimal() or len(base) > 6:
        return None
    digits = _digits(match.group(1))
    if digits.lstrip("-").isalpha() and any(int(digit, 36) >= int(base) for digit in digits.lstrip("-")):
        return None
    return Numeral(digits, int(base))


def _digits(text: str) -> str:
    sign = "-" if text.startswith("-") else ""
    return sign + (text.upper().lstrip("- ").lstrip("0") or "0")
