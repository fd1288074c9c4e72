"""Where a solution's text may be cut into steps, by the format that it is written in.

Knows characters only; snapping to tokens is the codec's work. A cut never falls inside mathematics, code or a figure, a
piece that is nothing but a formula belongs to the step before it, and code with its output is one step.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from scdpo.solutions.code_format import MARK, CodeFormat
from scdpo.solutions.protection import Protected, protected

Format = Literal["blocks", "numbered", "fences", "paragraphs", "lines", "sentences"]
StepFormat = Literal["auto", "blocks", "numbered", "fences", "paragraphs", "lines", "sentences"]
FORMATS: tuple[Format, ...] = get_args(Format)

BLOCK_END = re.compile(r"<\|endofblock\|>\s*+(?!<\|execution\|>)")
NUMBERED = re.compile(r"(?<!\s)[^\S\n]*+\n\s*+(?=(?:[#*]++[ \t]*+)?Step\s++\d++\b\s*(?:[:.)]|\*\*|-))", re.IGNORECASE)
FIRST_NUMBERED = re.compile(r"\s*+(?:[#*]++[ \t]*+)?Step\s+\d+\b", re.IGNORECASE)
OUTPUT_FENCE = re.compile(r"```[ \t]*(?:output|result|console|text)\b", re.IGNORECASE)
PARAGRAPH = re.compile(r"(?<!\s)[^\S\n]*+\n[^\S\n]*+\n\s*+")
LINE = re.compile(r"(?<!\s)[^\S\n]*+\n\s*+")
LATEX = re.compile(r"\\[a-zA-Z(\[]|\$\$")
SENTENCE = re.compile(
    r"(?<=[.!?])[\"')\]*]*(\s+)(?=[\"'(*\[]*(?:[A-Z]|\$|\\[\[(a-zA-Z])|[\u3400-\u9fff])|(?<=[。！？；])([”」』）]?\s*)(?=\S)"
)
ABBREVIATION = re.compile(r"(?:^|[\s(])(?:[A-Za-z]|\d{1,2}|Mr|Mrs|Ms|Dr|St|vs|etc|i\.e|e\.g|cf|approx|Fig|Eq|No|a\.m|p\.m)\.$")
SENTENCE_MARKS = ".!?:;。！？：；"
WORD = re.compile(r"[^\W\d_]{2,}|[\u3400-\u9fff]")
CONNECTIVE = r"(?:so|thus|therefore|hence|then|finally|and|in conclusion|consequently|所以|因此|故)?[\s,，]*"
ANSWER_ONLY = re.compile(
    rf"\s*(?:####[^\n]*|{CONNECTIVE}(?:\**(?:the\s+|our\s+)?(?:final\s+|correct\s+)?answers?\**(?:\s+(?:to|for|of)\s[^.\n=]{{0,60}}?)?"
    r"\s*(?:\bis\b|\bare\b|[:：])|(?:最终)?答案?(?:是|为|[:：]))\s*[:：]?\**\s*[^\n=]*?|(?:\$+|\\\[|\\\()?\s*\\boxed\s*\{[^\n]*\}\s*(?:\$+|\\\]|\\\))?)"
    r"\s*[.。]?\s*(?:I hope it is correct\.?\s*)?",
    re.IGNORECASE,
)
FORMULA = re.compile(r"[\s.,;:!?*&'\"()\[\]{}|-]*")
CODE = re.compile(r"```(?!output\b)|<\|code\|>")


@dataclass(frozen=True, slots=True)
class CutWindow:
    """Between two steps: a cut may lie anywhere in [start, stop], the later the better.

    The characters in between are white space; there are none where a format ends steps without any (block markers, Chinese
    sentences).
    """

    start: int
    stop: int


def cut_windows(text: str, format: StepFormat = "auto") -> list[CutWindow]:
    """Where the steps of `text` end, in order; none before the first visible step nor after the last.

    "auto": by the first format of FORMATS that the text shows and that gives it more than one step.
    """
    shield = protected(text)
    if format != "auto":
        return _windows(text, shield, format)
    for candidate in FORMATS:
        if shows(text, shield, candidate):
            windows = _windows(text, shield, candidate)
            if windows:
                return windows
    return []


def code_windows(text: str, form: CodeFormat) -> list[CutWindow]:
    """Where the steps of a solution with code end: around each piece of code with its output, whatever stands beside it."""
    if form.name == "blocks":
        return cut_windows(text, "blocks")
    windows, place = [], 0
    for piece in form.pieces(text):
        end = place + len(piece.whole)
        if piece.kind == "code":
            windows.append(CutWindow(len(text[:place].rstrip()), place))
        elif piece.kind == "output":
            windows.append(CutWindow(end, end + len(text[end:]) - len(text[end:].lstrip())))
        place = end
    first, last = len(text) - len(text.lstrip()), len(text.rstrip())
    ends = {window.stop: window for window in reversed(windows)}  # code right after an output: one end, not two
    return [window for window in sorted(ends.values(), key=lambda w: w.stop) if window.start > first and window.stop < last]


def detect_format(text: str) -> Format | None:
    """The format by which "auto" cuts `text`; None for a text that stays one step."""
    shield = protected(text)
    return next((name for name in FORMATS if shows(text, shield, name) and _windows(text, shield, name)), None)


def shows(text: str, shield: Protected, format: Format) -> bool:
    """Whether a text has the marks of a format. Where most lines follow each other directly, blank ones end no step."""
    if format == "blocks":
        return "<|endofblock|>" in text
    if format == "numbered":
        return len(NUMBERED.findall(text)) + (FIRST_NUMBERED.match(text) is not None) >= 2
    if format == "paragraphs":
        return 2 * len(_windows(text, shield, "paragraphs")) >= len(_windows(text, shield, "lines"))
    return format != "fences" or "```" in shield.openers


def _windows(text: str, shield: Protected, format: Format) -> list[CutWindow]:
    """The windows of one format, without those that no step may end at."""
    cuts = sorted(CUTTERS[format](text, shield), key=lambda window: window.stop)
    if format != "blocks":  # markers are not part of any mathematics, however it looks
        cuts = [window for window in cuts if not shield.holds(window.start) and not shield.holds(window.stop)]
    first = len(text) - len(text.lstrip())
    last = len(text.rstrip())
    inside = [window for window in cuts if window.start > first and window.stop < last]
    return _joined(text, shield, inside) if format in ("paragraphs", "lines", "sentences") else inside


def _joined(text: str, shield: Protected, windows: list[CutWindow]) -> list[CutWindow]:
    """Without the windows before a piece that is only a formula, or that only states again the answer just stated."""
    kept: list[CutWindow] = []
    opening = True  # nothing but formulas so far
    for index, window in enumerate(windows):
        before = windows[index - 1].stop if index else 0
        stop = windows[index + 1].start if index + 1 < len(windows) else len(text)
        opening = opening and is_formula(text, shield, before, window.start)
        repeats = is_answer_step(text[before : window.start]) and is_answer_step(text[window.stop : stop])
        if not opening and not repeats and not is_formula(text, shield, window.stop, stop):
            kept.append(window)
    return kept


def is_formula(text: str, shield: Protected, start: int, stop: int) -> bool:
    """Whether text[start:stop] is nothing but delimited mathematics and punctuation."""
    outside = shield.without(text, start, stop)
    return (
        len(outside.strip()) < len(text[start:stop].strip())
        and FORMULA.fullmatch(outside) is not None
        and "```" not in text[start:stop]
    )


def _blocks(text: str, shield: Protected) -> Iterable[CutWindow]:
    for match in BLOCK_END.finditer(text):
        marker = match.start() + len("<|endofblock|>")
        yield CutWindow(marker, match.end())


def _numbered(text: str, shield: Protected) -> Iterable[CutWindow]:
    return _matches(NUMBERED, text)


def _fences(text: str, shield: Protected) -> Iterable[CutWindow]:
    """Before and after each fence; not between a piece of code and the output that follows it."""
    end_before = 0
    for start, end, opener in zip(shield.starts, shield.ends, shield.openers, strict=True):
        if opener != "```":
            continue
        between = text[end_before:start]
        if not (end_before and not between.strip() and OUTPUT_FENCE.match(text, start)):
            yield CutWindow(end_before + len(between.rstrip()), start)
            if end_before and between.strip():
                yield CutWindow(end_before, end_before + len(between) - len(between.lstrip()))
        end_before = end
    rest = text[end_before:]
    if end_before and rest.strip():
        yield CutWindow(end_before, end_before + len(rest) - len(rest.lstrip()))


def _paragraphs(text: str, shield: Protected) -> Iterable[CutWindow]:
    return _matches(PARAGRAPH, text)


def _lines(text: str, shield: Protected) -> Iterable[CutWindow]:
    """At line ends. In LaTeX, where lines are also wrapped, only where a sentence or a display ends and another begins."""
    latex, ends = LATEX.search(text) is not None, set(shield.ends)
    for window in _matches(LINE, text):
        wrapped = text[window.start - 1 : window.start] not in SENTENCE_MARKS and window.start not in ends
        if not latex or not (wrapped or text[window.stop : window.stop + 1].islower()):
            yield window


def _sentences(text: str, shield: Protected) -> Iterable[CutWindow]:
    for match in SENTENCE.finditer(text):
        group = 1 if match.group(1) is not None else 2
        start, stop = match.span(group)
        if group == 2:
            start = stop - len(match.group(2)) + len(match.group(2).rstrip())
        if not ABBREVIATION.search(text[max(0, match.start() - 12) : match.start()]):
            yield CutWindow(start, stop)


CUTTERS: dict[Format, Callable[[str, Protected], Iterable[CutWindow]]] = {
    "blocks": _blocks,
    "numbered": _numbered,
    "fences": _fences,
    "paragraphs": _paragraphs,
    "lines": _lines,
    "sentences": _sentences,
}


def _matches(pattern: re.Pattern[str], text: str) -> Iterable[CutWindow]:
    return (CutWindow(match.start(), match.end()) for match in pattern.finditer(text))


def is_answer_step(text: str) -> bool:
    """Whether a step only states the final answer (`#### 42`, `The answer is: 42`, `$\\boxed{42}$`)."""
    return (
        len(text) < 400
        and all(ANSWER_ONLY.fullmatch(line) for line in text.strip().split("\n") if line.strip())
        and bool(text.strip())
    )


def step_kind(text: str, final: bool) -> Literal["text", "code", "answer"]:
    """What a step is: code with its output, the bare final answer, or text."""
    if CODE.search(text):
        return "code"
    return "answer" if final and is_answer_step(MARK.sub("", text)) else "text"
