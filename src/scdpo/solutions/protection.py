"""Where a text may not be cut: fenced code, display and inline mathematics, environments, figures.

One pass over the characters, in linear time whatever the text. Knows no steps.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

OPENER = re.compile(r"```|\$\$|\\\[|\\\(|\\begin\s*\{(\w+\*?)\}|\[asy\]|\\\$|\$")
CLOSERS = {"```": "```", "$$": "$$", r"\[": r"\]", r"\(": r"\)", "[asy]": "[/asy]"}
LINE_MATHEMATICS = re.compile(r"\$(?=\S)((?:[^$\\\n]|\\.)*?)(?<=\S)\$(?!\d)")


@dataclass(frozen=True, slots=True)
class Protected:
    """The protected spans of a text, in order and apart from each other: starts[i] <= place < ends[i]."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    openers: tuple[str, ...]

    def holds(self, place: int) -> bool:
        """Whether a cut at `place` would fall inside a span."""
        index = bisect_right(self.starts, place) - 1
        return index >= 0 and self.starts[index] < place < self.ends[index]

    def without(self, text: str, start: int, stop: int) -> str:
        """The part of `text` from `start` to `stop` that no span covers."""
        kept, place = [], start
        first = max(0, bisect_right(self.starts, start) - 1)
        for span_start, span_end in zip(self.starts[first:], self.ends[first:], strict=True):
            if span_start >= stop:
                break
            if span_end > start:
                kept.append(text[place : max(place, span_start)])
                place = min(stop, span_end)
        return "".join((*kept, text[place:stop]))


def protected(text: str) -> Protected:
    """The spans of `text` that must stay whole. An opener without closer protects nothing, a fence without one the rest."""
    spans: list[tuple[int, int, str]] = []
    absent: set[str] = set()
    place = 0
    while match := OPENER.search(text, place):
        opener = match.group()
        end = _end(text, match, absent)
        if end is None:
            place = match.end()
        else:
            spans.append((match.start(), end, "begin" if match.group(1) else opener))
            place = end
    return Protected(*(tuple(column) for column in zip(*spans, strict=True))) if spans else Protected((), (), ())


def _end(text: str, match: re.Match[str], absent: set[str]) -> int | None:
    """Where the span that `match` opens ends, or None. absent: closers known to be found no more."""
    opener = match.group()
    if opener == r"\$":
        return None
    if opener == "$":
        inline = LINE_MATHEMATICS.match(text, match.start())
        return inline.end() if inline else None
    if match.group(1):
        return _end_of_environment(text, match.group(1), match.end(), absent)
    closer = CLOSERS[opener]
    found = -1 if closer in absent else text.find(closer, match.end())
    if found >= 0:
        return found + len(closer)
    absent.add(closer)
    return len(text) if opener == "```" else None


def _end_of_environment(text: str, name: str, start: int, absent: set[str]) -> int | None:
    """The end of the environment `name` that holds others of its name whole."""
    if name in absent:
        return None
    depth = 1
    for match in re.compile(rf"\\(begin|end)\s*\{{{re.escape(name)}\}}").finditer(text, start):
        depth += 1 if match.group(1) == "begin" else -1
        if depth == 0:
            return match.end()
    absent.add(name)
    return None
