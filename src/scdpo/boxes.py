"""Boxed answers in LaTeX. Works on characters, in linear time; problems and grading read by it."""

from __future__ import annotations

import re
from collections.abc import Iterator

BOX = re.compile(r"\\(?:boxed|fbox)\s*")
BARE_BOX = re.compile(r"\\[a-zA-Z]+|[-+]?\d+(?:[.,]\d+)*|[^\s{}$\\]")
BOX_JOINT = re.compile(
    r"(?:[\s$,;，、~]|\\[,;:!() ]|\\q?quad(?![a-zA-Z])|\\(?:text|textrm|mathrm|mbox)\s*\{[\s,;]*(?:and|or)?[\s,;]*\}"
    r"|\b(?:and|or)\b|和|或|与)*"
)


def last_boxes(text: str) -> str | None:
    """What the last balanced box holds, with the boxes right before it that belong to the same answer; None without a box."""
    if "\\boxed" not in text and "\\fbox" not in text:
        return None
    boxes = list(_boxes(text))
    if not boxes:
        return None
    parts = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        joint = text[box[1] : parts[0][0]]
        if len(joint) > 60 or "\n\n" in joint or not joint.strip("$ \n") or not BOX_JOINT.fullmatch(joint):
            break
        parts.insert(0, box)
    contents = [text[start:stop].strip() for _, _, start, stop in parts]
    return ", ".join(contents) if all(contents) else contents[-1]


def _boxes(text: str) -> Iterator[tuple[int, int, int, int]]:
    """(start, end, start of the content, its end) of each balanced outermost box, in order."""
    closers = _matching_braces(text)
    place = 0
    for match in BOX.finditer(text):
        if match.start() < place:
            continue
        opening = match.end()
        if opening < len(text) and text[opening] == "{":
            closing = closers.get(opening)
            if closing is None:
                continue
            place = closing + 1
            yield match.start(), place, opening + 1, closing
        elif bare := BARE_BOX.match(text, opening):
            place = bare.end()
            yield match.start(), place, bare.start(), place


def _matching_braces(text: str) -> dict[int, int]:
    """The place of the closing brace for each opening one that has one; escaped braces do not count."""
    pairs, open_places = {}, []
    for match in re.finditer(r"\\.|[{}]", text, re.DOTALL):
        if match.group() == "{":
            open_places.append(match.start())
        elif match.group() == "}" and open_places:
            pairs[open_places.pop()] = match.start()
    return pairs
