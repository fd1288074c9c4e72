"""The final answer of a solution: where it stands, and by which rule it was found.

Works on characters, in linear time. Knows no gold answer and compares nothing.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import Literal

from scdpo.boxes import last_boxes

Rule = Literal["box", "####", "answer is", "whole text", "short text", "last number"]
GUESSES = ("short text", "last number")

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
# What a chat model writes after its answer where nothing stops it: another turn, which answers something else. A transcript
# begins with a turn of somebody else and is left whole.
TRANSCRIPT = re.compile(r"\s*<\|(?:im_start|begin_of_text|start_header_id)\|>")
NEXT_TURN = re.compile(r"(?<=\S)\s*(?:<\|(?:im_start|im_end|eot_id|endoftext|end_of_text|end)\|>|</s>)")
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
    short enough to be nothing but an answer, and the last number. Output of executed code is left out,
    and so is what follows the end of a chat model's turn.
    """
    text = OUTPUTS.sub("\n", text) if "output" in text or "<|execution|>" in text else text
    turn_end = NEXT_TURN.search(text) if "<" in text and not TRANSCRIPT.match(text) else None
    text = text[: turn_end.start()] if turn_end else text
    boxed = last_boxes(text)
    if boxed is not None:
        return Extracted(boxed, "box")
    stated = _hashes(text) or _stated(text)
    if stated is not None and (stated.text or not whole):
        return stated
    if not text.strip():
        return None
    if whole or _is_bare(text):
        return Extracted(text.strip(), "whole text" if whole else "short text")
    numbers = NUMBER.findall(text)
    return Extracted(numbers[-1], "last number") if numbers else None


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
