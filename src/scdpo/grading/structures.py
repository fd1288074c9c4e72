"""Answers in parts: bare lists, tuples and intervals, sets, unions, matrices.

Reads their form only; parts stay texts. Works on what `clean` gives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

SIDE = r"([-+]?[^<>=a-zA-Z\\,]*(?:\\(?:frac|sqrt|pi|infty|cdot)(?![a-zA-Z])[^<>=a-zA-Z\\,]*)*)"
SIGN = r"\s*(<|>|\\le(?![a-zA-Z])|\\ge(?![a-zA-Z]))\s*"
BETWEEN = re.compile(rf"{SIDE}{SIGN}([a-z]){SIGN}{SIDE}")
BEYOND = re.compile(rf"(?:([a-z]){SIGN}{SIDE}|{SIDE}{SIGN}([a-z]))")
MIRRORED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}

Kind = Literal["list", "tuple", "set", "union", "matrix"]

AND = re.compile(r"\s*(?:,\s*(?:and|or)\b|\b(?:and|or)\b|[;,]|和|或|与)\s*")
OR = re.compile(r"\s*(?:,\s*or\b|\bor\b|;|或)\s*")
UNION = re.compile(r"\\cup(?![a-zA-Z])|(?<=[\])}])\s*(?:U|or)\s*(?=[\[({])")
MATRIX = re.compile(r"\\begin\{pmatrix\}(.*)\\end\{pmatrix\}", re.DOTALL)
PLUS_MINUS = re.compile(r"\\pm(?![a-zA-Z])")
PAIRS = {"(": ")", "[": "]", "{": "}"}
NAMED_PART = re.compile(r"\s*([a-z](?:_\{?\w\}?)?)\s*=\s*([^=]+)")


@dataclass(frozen=True, slots=True)
class Structure:
    """Parts in order. rows: of a matrix, whose parts are its cells; opening, closing: brackets of a tuple or interval; letter:
    that of the inequality that an interval was given as, or of names that differ only by their index (`x_` for x_1 and x_2).
    """

    kind: Kind
    parts: tuple[str, ...]
    opening: str = ""
    closing: str = ""
    rows: int = 1
    letter: str = ""


def read_structure(text: str) -> Structure | None:
    """The parts of an answer that has parts, or None."""
    text = text.replace("\\{", "{").replace("\\}", "}")
    matrix = MATRIX.fullmatch(text.strip())
    if matrix:
        return _matrix(matrix.group(1))
    if PLUS_MINUS.search(text) and (len(split_top(text, AND)) == 1) and not _enclosed(text):
        return _plus_minus(text)
    union = split_top(text, UNION)
    if len(union) > 1:
        return Structure("union", tuple(union))
    whole = _enclosed(text)
    if whole:
        opening, inside, closing = whole
        parts = split_top(inside, AND)
        if opening == "[" and inside.startswith("[") and len(parts) > 1:
            return _nested_rows(parts)
        if opening == "{":
            return Structure("set", tuple(dict.fromkeys(_expanded(parts)))) if inside.strip() else None
        return Structure("tuple", tuple(parts), opening, closing) if len(parts) > 1 and all(parts) else None
    interval = as_interval(text)
    if interval:
        return interval
    cases = [_named(split_top(case, AND)) for case in split_top(text, OR)]
    if len(cases) > 1 and all(case and case.kind == "tuple" for case in cases):
        return Structure("list", tuple(f"({', '.join(case.parts)})" for case in cases if case))
    parts = split_top(text, AND)
    if len(parts) < 2 or not all(parts):
        return None
    return _named(parts) or Structure("list", tuple(_expanded(parts)))


def as_interval(text: str) -> Structure | None:
    """An inequality in one letter as its interval (`x > 3`, `-1 \\le x < 2`, `2 > x`), or None."""
    between = BETWEEN.fullmatch(text.strip())
    if between:
        left, first, letter, second, right = between.groups()
        if first[0] != second[0] and {first, second} not in ({"<", "\\le"}, {">", "\\ge"}):
            return None
        if first in (">", "\\ge"):
            left, first, second, right = right, MIRRORED[second], MIRRORED[first], left
        ends = ("[" if first == "\\le" else "(", "]" if second == "\\le" else ")")
        both = (left.strip(), right.strip())
        return Structure("tuple", both, *ends, letter=letter) if all(both) else None
    beyond = BEYOND.fullmatch(text.strip())
    if not beyond:
        return None
    letter, sign, bound, other_bound, other_sign, other_letter = beyond.groups()
    if sign is None:
        sign, bound = MIRRORED[other_sign], other_bound
    if not bound.strip():
        return None
    if sign in ("<", "\\le"):
        ends = ("(", "]" if sign == "\\le" else ")")
        return Structure("tuple", ("-\\infty", bound.strip()), *ends, letter=letter or other_letter)
    ends = ("[" if sign == "\\ge" else "(", ")")
    return Structure("tuple", (bound.strip(), "\\infty"), *ends, letter=letter or other_letter)


def _named(parts: list[str]) -> Structure | None:
    """`x = 1, y = 2` is the tuple of its values in the names' order, `x = 1, x = 2` the list of them."""
    named = [NAMED_PART.fullmatch(part) for part in parts]
    pairs = [(match.group(1), match.group(2).strip()) for match in named if match]
    if len(pairs) != len(parts):
        first = named[0]
        if first and not any("=" in part for part in parts[1:]):
            return Structure("list", (first.group(2).strip(), *parts[1:]))
        return None
    names = {name for name, _ in pairs}
    letters = {name.partition("_")[0] for name in names}
    if len(names) == 1:
        return Structure("list", tuple(value for _, value in pairs))
    if len(names) != len(pairs):
        return None
    values = tuple(value for _, value in sorted(pairs))
    return Structure("tuple", values, "(", ")", letter=letters.pop() + "_" if len(letters) == 1 else "")


def _plus_minus(text: str) -> Structure | None:
    """`a \\pm b` as the list of its two values."""
    if len(PLUS_MINUS.findall(text)) > 1:
        return None
    return Structure("list", (PLUS_MINUS.sub("+", text).strip(), PLUS_MINUS.sub("-", text).strip()))


def _expanded(parts: list[str]) -> list[str]:
    """The parts, with both values of one that holds `\\pm`."""
    both = [_plus_minus(part) if PLUS_MINUS.search(part) else None for part in parts]
    return [value for part, values in zip(parts, both, strict=True) for value in (values.parts if values else (part,))]


def _matrix(inside: str) -> Structure | None:
    rows = [[cell.strip() for cell in row.split("&")] for row in re.split(r"\\\\", inside) if row.strip()]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        return None
    return Structure("matrix", tuple(cell for row in rows for cell in row), rows=len(rows))


def _nested_rows(parts: list[str]) -> Structure | None:
    """`[[1, 2], [3, 4]]` as a matrix."""
    rows = [_enclosed(part) for part in parts]
    cells = [split_top(row[1], AND) for row in rows if row is not None]
    if len(cells) != len(rows) or any(len(row) != len(cells[0]) for row in cells):
        return None
    return Structure("matrix", tuple(cell for row in cells for cell in row), rows=len(cells))


def _enclosed(text: str) -> tuple[str, str, str] | None:
    """(opening, inside, closing) where one pair of brackets holds the whole text; an interval may mix them: `[1, 2)`."""
    text = text.strip()
    text = re.sub(r"^\\langle\s*(.*)\\rangle$", r"(\1)", text, flags=re.DOTALL)
    if text[:1] not in PAIRS or text[-1] not in ")]}" or (text[0] == "{") != (text[-1] == "}"):
        return None
    depth = 0
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and place < len(text) - 1:
            return None
    return (text[0], text[1:-1].strip(), text[-1]) if depth == 0 else None


def split_top(text: str, separator: re.Pattern[str]) -> list[str]:
    """The text cut at each separator that stands outside all brackets. A comma of a number is none (`1,234`)."""
    depths, depth = [], 0
    for character in text:
        depth -= character in ")]}"
        depths.append(depth)
        depth += character in "([{"
    parts, start = [], 0
    for match in separator.finditer(text):
        if depths[match.start()] != 0:
            continue
        if match.group() == "," and re.search(r"\d$", text[: match.start()]) and _is_group(text, match.end()):
            continue
        parts.append(text[start : match.start()].strip())
        start = match.end()
    parts.append(text[start:].strip())
    return parts


def _is_group(text: str, place: int) -> bool:
    """Whether the digits at `place` are a thousands group: three of them, with no space before, and the whole no list."""
    before = re.search(r"(?<!\d)[1-9]\d{0,2}(?:,\d{3})*,$", text[:place])
    return (
        before is not None
        and re.match(r"\d{3}(?!\d)", text[place:]) is not None
        and re.search(r"(?<!\d)\d{4,}|,\s|,\d{1,2}(?!\d)", text) is None
    )
