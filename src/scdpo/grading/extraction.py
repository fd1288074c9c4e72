"""The final answer of a solution: where it stands, and by which rule it was found.

Works on characters, in linear time. Knows no gold answer and compares nothing.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Rule = Literal["box", "####", "answer is", "whole text", "short text", "last number"]
GUESSES = ("short text", "last number")

BOX = re.compile(r"\\(?:boxed|fbox)\s*")
BARE_BOX = re.compile(r"\\[a-zA-Z]+|[-+]?\d+(?:[.,]\d+)*|[^\s{}$\\]")
BOX_JOINT = re.compile(r"(?:[\s$,;，、]|\\[,;!() ]|\\text\s*\{\s*(?:and|or)\s*\}|\band\b|\bor\b|和|或|与)*")
HASHES = re.compile(r"^[ \t]*####(?!#)[ \t]*(.*)$", re.MULTILINE)
HEADING = re.compile(
    r"(?i)(?:step|part|case|section|solution|approach|method|verification|conclusion|explanation|final answer)\b|\d+[.)]\s"
)
STATED = re.compile(
    r"(?i)\b(?:final\s+)?answers?(?:\s+(?:to|for|of)\s+[^.\n:=]{0,60}?)?\s*(?:\*\*|__)?\s*(?:\bis\b|\bare\b|[:：=])"
    r"\s*(?:\*\*|__)?\s*[:：]?(?:\*\*|__)?"
    r"|(?:最终|正确)?(?:答案|结果)(?:应该|应当|应)?(?:是|为|等于|选|[:：])\s*[:：]?"
    r"|(?:^|\n)[ \t]*(?:\*\*)?(?:A|答)(?:\*\*)?\s*[:：](?:\*\*)?"
)
OUTPUTS = re.compile(r"```output\b.*?(?:```|\Z)|<\|execution\|>.*?(?:<\|endofblock\|>|\Z)", re.DOTALL)
BECAUSE = re.compile(
    r"(?i),?\s+(?:because|since|as\s+(?:we|it|there)|which|where|so\s+that|if\s+we|when\s+we|rather\s+than|instead\s+of|(?<=,\s)not)\b|[（(]\s*(?:because|since)\b"
)
SENTENCE_END = re.compile(r"(?:(?<!\.)\.|(?<![\d)}])!|\?)(?=\s+[A-Z\"'(*]|\s*$)|[。！？]|\.(?=\*\*)")
NUMBER = re.compile(
    r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?(?:\s?[%％])?|(?<![\w.])[-+−]?\.\d+", re.ASCII
)
MATHEMATICS = re.compile(r"^\s*(?:\$\$?|\\\(|\\\[)")
CLOSERS = {"$$": "$$", "$": "$", r"\(": r"\)", r"\[": r"\]"}
LONGEST_WHOLE = 200


@dataclass(frozen=True, slots=True)
class Extracted:
    """An answer as it stands in a text. text is empty where a place for it was found and nothing in it (an empty box)."""

    text: str
    rule: Rule


def extract(text: str, whole: bool) -> Extracted | None:
    """The final answer that `text` states; None where it states none.

    In this order: the last balanced \\boxed or \\fbox (neighbours joined by "and", "or" or a comma are one answer in parts),
    the last `####` line, the last "answer is", else, with `whole`, the text itself, and without it two guesses: a text that is
    short enough to be nothing but an answer, and the last number. Output of executed code is left out.
    """
    text = OUTPUTS.sub("\n", text) if "output" in text or "<|execution|>" in text else text
    boxed = last_boxes(text)
    if boxed is not None:
        inside = _stated(boxed.replace("\\text{", "{").replace("{", "").replace("}", "")) if "nswer" in boxed else None
        return Extracted(inside.text if inside else boxed, "box")
    stated = _hashes(text) or _stated(text)
    if stated is not None and (stated.text or not whole):
        return stated
    if not text.strip():
        return None
    if whole or _is_bare(text):
        return Extracted(text.strip(), "whole text" if whole else "short text")
    numbers = NUMBER.findall(text)
    return Extracted(numbers[-1], "last number") if numbers else None


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
        if len(joint) > 40 or "\n\n" in joint or not joint.strip("$ \n") or not BOX_JOINT.fullmatch(joint):
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


def _hashes(text: str) -> Extracted | None:
    """The last `####` line, unless it is a heading (`#### Step 2`) or an answer is stated after it."""
    if "####" not in text:
        return None
    last = _last(HASHES, text)
    if last is None:
        return _inline_hashes(text)
    content = last.group(1).strip()
    rest = text[last.end() :].strip()
    if HEADING.match(content.lstrip("*# ")) and (rest or not content):
        return None
    return _stated(content) or Extracted(content, "####")


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    """The last match, without keeping the others."""
    found = deque(pattern.finditer(text), maxlen=1)
    return found[0] if found else None


def _inline_hashes(text: str) -> Extracted | None:
    """`#### 5` at the end of a line of text."""
    _, _, tail = text.rpartition("####")
    return Extracted(tail.split("\n")[0].strip(), "####")


def _stated(text: str) -> Extracted | None:
    last = _last(STATED, text)
    if last is None:
        return None
    tail = text[last.end() :].lstrip(" \t")
    if not tail.split("\n")[0].strip(" *_") and tail.strip():
        tail = tail.lstrip(" \t\n*_")
    return Extracted(_first_statement(tail), "answer is")


def _first_statement(tail: str) -> str:
    """The answer at the start of `tail`: through the end of its mathematics, then to the end of the sentence or line."""
    opening = MATHEMATICS.match(tail)
    start = 0
    if opening:
        opener = opening.group().strip()
        close = tail.find(CLOSERS[opener], opening.end())
        start = close + len(CLOSERS[opener]) if close >= 0 else 0
    line = tail.find("\n", start)
    statement = tail if line < 0 else tail[:line]
    for boundary in (SENTENCE_END, BECAUSE):
        match = boundary.search(statement, start)
        if match:
            statement = statement[: match.start()]
    return statement.strip().strip("*_").strip()


def _is_bare(text: str) -> bool:
    """Whether a text is short enough, on one line and without a sentence, to be nothing but an answer."""
    plain = text.strip()
    return len(plain) <= LONGEST_WHOLE and "\n" not in plain and len(re.findall(r"[^\W\d_]{2,}", plain)) <= 3
