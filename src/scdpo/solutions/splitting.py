"""Where a solution's text may be cut into steps. Knows characters only; snapping to tokens is the codec's work."""

from __future__ import annotations

import re
from dataclasses import dataclass

ANSWER_LINE = re.compile(r"\s*####[^\n]*\s*")
LINE_END = re.compile(r"[ \t]*\n\s*")


@dataclass(frozen=True, slots=True)
class CutWindow:
    """White space between two steps: a cut may lie anywhere in [start, stop], the later the better."""

    start: int
    stop: int


def cut_windows(text: str) -> list[CutWindow]:
    """The white space between the lines of `text`, one step a line (GSM8K's form); none before the first visible step."""
    windows = [CutWindow(match.start(), match.end()) for match in LINE_END.finditer(text)]
    return [window for window in windows if text[: window.start].strip() and text[window.stop :].strip()]


def is_answer_step(text: str) -> bool:
    """Whether a step only states the final answer (`#### 42`)."""
    return ANSWER_LINE.fullmatch(text) is not None
