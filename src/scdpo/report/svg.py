"""What every chart is drawn with: texts whose width is known, scales and their ticks, marks, legends, the svg element.

Pure functions. Knows no figures. Text is measured by a wide fallback font, so that no viewer's font makes labels overlap.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from html import escape
from unicodedata import east_asian_width

FONT, SMALL, LINE = 14, 12, 17
"""Heights in units of the view box, as figures.css has them: of labels, of ticks and axes, from line to line."""

Scale = Callable[[float], float]


def text_width(text: str, size: int = FONT) -> float:
    return size * sum(1.0 if east_asian_width(letter) in "WF" else 0.6 for letter in text)


def wrapped(text: str, width: float, most: int = 3) -> list[str]:
    """The text in lines of a width, broken at spaces, or within a word that is too wide; cut after `most` lines."""
    letters = int(width / (text_width(text) / len(text))) if text else 1
    return textwrap.wrap(text, max(4, letters), max_lines=most, placeholder="…", break_on_hyphens=False) or [""]


def text(x: float, y: float, words: str, anchor: str = "start", css: str = "") -> str:
    kind = f' class="{css}"' if css else ""
    return f'<text{kind} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{clean(words)}</text>'


def lines_of_text(x: float, y: float, lines: Sequence[str], anchor: str) -> str:
    """Lines below each other, the first with its baseline at y."""
    return "".join(text(x, y + LINE * number, line, anchor) for number, line in enumerate(lines))


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line class="{css}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def rect(x: float, y: float, width: float, height: float, css: str, hover: str = "") -> str:
    return f'<rect class="{css}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">{titled(hover)}</rect>'


def titled(hover: str) -> str:
    """What a viewer shows over a mark."""
    return f"<title>{clean(hover)}</title>" if hover else ""


def clean(words: str) -> str:
    """A text that may stand in XML."""
    return escape("".join(letter if letter.isprintable() else " " for letter in words))


SHAPES = (
    "M-4 0A4 4 0 1 0 4 0A4 4 0 1 0 -4 0Z",
    "M-3.6 -3.6H3.6V3.6H-3.6Z",
    "M0 -5L4.6 3.6H-4.6Z",
    "M0 -5.2L5.2 0L0 5.2L-5.2 0Z",
    "M0 5L4.6 -3.6H-4.6Z",
)
"""Circle, square, triangle, diamond, triangle on its point: the marks of lines 0 to 4."""


def mark(x: float, y: float, style: int, hover: str = "") -> str:
    shape = SHAPES[style % len(SHAPES)]
    return f'<path class="mark{style}" transform="translate({x:.1f} {y:.1f})" d="{shape}">{titled(hover)}</path>'


def tick_step(spread: float, most: int) -> float:
    """The least of 1, 2, 5, 10, ... and their tenths of which at most `most` fit into a spread."""
    if spread <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(spread / most))
    return next(size * power for size in (1, 2, 5, 10) if spread / (size * power) <= most)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from low to high."""
    step = tick_step(high - low, most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step + 0.0 for number in range(first, last + 1)]


def tick_texts(places: Sequence[float]) -> list[str]:
    """Ticks as texts, all with as many decimals as their step needs."""
    step = places[1] - places[0] if len(places) > 1 else 1.0
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{place:,.{decimals}f}" for place in places]


def scale(low: float, high: float, start: float, stop: float) -> Scale:
    """From [low, high] to [start, stop]."""
    return lambda value: start + (value - low) / ((high - low) or 1) * (stop - start)


Swatch = Callable[[int, float, float], str]


def legend(names: Sequence[str], x: float, y: float, width: float, swatch: Swatch) -> tuple[str, float]:
    """Names with their swatches, in as many lines as they need; also the height that they take.

    swatch: draws the one of a number in 22 units from x on, with its middle at y.
    """
    parts, at, down = [], x, 0.0
    for number, name in enumerate(names):
        needed = 28 + text_width(name) + 18
        if at > x and at + needed > x + width:
            at, down = x, down + LINE + 5
        parts += [swatch(number, at, y + down), text(at + 28, y + down + 5, name)]
        at += needed
    return "".join(parts), down + LINE + 5


def svg(width: float, height: float, title: str, content: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{clean(title)}"><title>{clean(title)}</title>'
        f"{content}</svg>"
    )
