"""Charts of bars and of dots with intervals, as SVG text. Pure functions from named numbers; lines are in line_charts.

The view box is 720 wide, of small charts 460. assets/figures.css colours by these classes: texts are `tick`, `axis`, `value`,
`small`; lines are `grid`, `base`, `zero`, `chance`; an interval's line and circle lie in a group `dot` or `dot unresolved`;
bars are `bar` with a `whisker`, or `part0` to `part3` with the texts `in in0` to `in in3` in them; curves are `line0` to
`line4`, with `band0` to `band4` and `mark0` to `mark4`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scdpo.evaluation.statistics import Estimate
from scdpo.report.svg import (
    LINE,
    SMALL,
    Scale,
    legend,
    line,
    lines_of_text,
    rect,
    scale,
    svg,
    text,
    text_width,
    tick_step,
    tick_texts,
    ticks,
    titled,
    wrapped,
)

WIDTH, SMALL_WIDTH = 720, 460
ROW = 34
LABELS_AT_MOST = 290
"""How wide the column of labels beside a chart may grow; longer labels are broken into lines."""


def bars(estimates: Mapping[str, Estimate], title: str, axis: str) -> str:
    """An upright bar for each share, in percent from zero, with its interval as a whisker (the form of the paper's Fig. 4)."""
    left, top, floor = 48.0, 34.0, 300.0
    slot = (WIDTH - left - 8) / len(estimates)
    step = tick_step(max(value.high for value in estimates.values()), 6)
    ceiling = min(1.0, step * -(-max(value.high for value in estimates.values()) // step))
    y = scale(0, ceiling, floor, top)
    parts = [level_grid([100 * place for place in ticks(0, ceiling)], lambda value: y(value / 100), left, WIDTH - 8)]
    parts.append(text(0, 12, axis, css="axis"))
    most = 1
    for number, (name, value) in enumerate(estimates.items()):
        middle, half = left + slot * (number + 0.5), min(36.0, slot * 0.3)
        hover = f"{name}: {100 * value.value:.1f}% [{100 * value.low:.1f}, {100 * value.high:.1f}], n = {value.n}"
        parts.append(rect(middle - half, y(value.value), 2 * half, floor - y(value.value), "bar", hover))
        low, high = y(value.low), y(value.high)
        ends = f"M{middle - 6:.1f} {high:.1f}h12M{middle - 6:.1f} {low:.1f}h12M{middle:.1f} {high:.1f}V{low:.1f}"
        parts.append(f'<path class="whisker" d="{ends}"/>')
        parts.append(text(middle, high - 7, f"{100 * value.value:.1f}", "middle", "value"))
        lines = wrapped(name, slot - 6)
        most = max(most, len(lines))
        parts.append(lines_of_text(middle, floor + 20, lines, "middle"))
    parts.append(line(left, floor, WIDTH - 8, floor, "base"))
    return svg(WIDTH, floor + 8 + LINE * most + 4, title, "".join(parts))


def level_grid(places: Sequence[float], y: Scale, left: float, right: float) -> str:
    """Level lines at an upright axis's ticks, with their texts to the left."""
    texts = tick_texts(places)
    return "".join(
        line(left, y(place), right, y(place), "grid") + text(left - 6, y(place) + 4, words, "end", "tick")
        for place, words in zip(places, texts, strict=True)
    )


def upright_grid(places: Sequence[float], x: Scale, top: float, bottom: float) -> str:
    """Upright lines at a level axis's ticks, with their texts below."""
    texts = tick_texts(places)
    return "".join(
        line(x(place), top, x(place), bottom, "grid") + text(x(place), bottom + 15, words, "middle", "tick")
        for place, words in zip(places, texts, strict=True)
    )


@dataclass(frozen=True, slots=True)
class Rows:
    """The labels of rows below each other: lines of each, where each row's middle lies, and what they take."""

    names: Sequence[str]
    top: float

    @property
    def lines(self) -> list[list[str]]:
        return [wrapped(name, LABELS_AT_MOST) for name in self.names]

    @property
    def width(self) -> float:
        return max(text_width(words) for lines in self.lines for words in lines) + 12

    @property
    def heights(self) -> list[float]:
        return [max(ROW, LINE * len(lines) + 8) for lines in self.lines]

    @property
    def middles(self) -> list[float]:
        heights = self.heights
        return [self.top + sum(heights[:row]) + heights[row] / 2 for row in range(len(heights))]

    @property
    def bottom(self) -> float:
        return self.top + sum(self.heights)

    def drawn(self) -> str:
        """The labels, at the left."""
        placed = zip(self.lines, self.middles, strict=True)
        return "".join(
            lines_of_text(self.width - 12, middle + 5 - LINE * (len(lines) - 1) / 2, lines, "end") for lines, middle in placed
        )


@dataclass(frozen=True, slots=True)
class DotPanel:
    """Dots with intervals on an axis of their own. estimates: one a row; write: an estimate as text; factor: from shares to the
    axis's unit; reference: a line across, "zero" or "chance", at `at`."""

    axis: str
    estimates: Sequence[Estimate]
    write: Callable[[Estimate], str]
    factor: float = 100
    reference: str = ""
    at: float = 0.0

    @property
    def reach(self) -> tuple[float, float]:
        """What the axis shows: all intervals and the reference, with a margin."""
        ends = [end for value in self.estimates for end in (value.low, value.high)] + ([self.at] if self.reference else [])
        margin = max(0.005, (max(ends) - min(ends)) * 0.08)
        return self.factor * (min(ends) - margin), self.factor * (max(ends) + margin)


def dots(names: Sequence[str], panels: Sequence[DotPanel], title: str) -> str:
    """A row for each name, and in each panel its dot and interval. Differences that are not resolved are hollow and grey.

    A single panel has its values as texts at the right, several have them over their dots.
    """
    is_single = len(panels) == 1
    rows = Rows(names, top=8 if is_single else 26)
    aside = max(text_width(panels[0].write(value)) for value in panels[0].estimates) + 16 if is_single else 4
    space = (WIDTH - rows.width - aside) / len(panels)
    parts = [rows.drawn()]
    for number, panel in enumerate(panels):
        left = rows.width + space * number + 14
        right = left + space - 28
        x = scale(*panel.reach, left, right)
        most = max(2, int((right - left) / 42))
        parts.append(upright_grid(ticks(*panel.reach, most), x, rows.top - 4, rows.bottom))
        parts.append(text((left + right) / 2, rows.bottom + 33, panel.axis, "middle", "axis"))
        if panel.reference:
            at = x(panel.factor * panel.at)
            parts.append(line(at, rows.top - 8, at, rows.bottom, panel.reference))
            if panel.reference == "chance":
                words = f"chance {panel.factor * panel.at:.3g}"
                half = text_width(words, SMALL) / 2 - 10
                parts.append(text(min(right - half, max(left + half, at)), rows.top - 12, words, "middle", "axis"))
        for name, value, y in zip(names, panel.estimates, rows.middles, strict=True):
            parts.append(_dot(name, value, y, panel, x))
            words = panel.write(value)
            at = x(panel.factor * value.value)
            parts.append(
                text(WIDTH - 4, y + 5, words, "end", "value")
                if is_single
                else text(min(right - 8, max(left + 8, at)), y - 8, words.split(" ")[0], "middle", "small")
            )
    height = rows.bottom + 40
    is_difference = any(panel.reference == "zero" for panel in panels)
    if is_difference:
        drawn, more = legend(["resolved", "not resolved"], rows.width + 10, height + 12, WIDTH - rows.width, _dot_swatch)
        parts.append(drawn)
        height += more
    return svg(WIDTH, height, title, "".join(parts))


def _dot(name: str, value: Estimate, y: float, panel: DotPanel, x: Scale) -> str:
    is_open = panel.reference == "zero" and not value.is_resolved
    low, high, at = (x(panel.factor * each) for each in (value.low, value.high, value.value))
    hover = titled(f"{name}: {panel.write(value)}, n = {value.n}")
    return (
        f'<g class="{"dot unresolved" if is_open else "dot"}"><line x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<circle cx="{at:.1f}" cy="{y:.1f}" r="5.5">{hover}</circle></g>'
    )


def _dot_swatch(number: int, x: float, y: float) -> str:
    kind = ("dot", "dot unresolved")[number]
    return f'<g class="{kind}"><line x1="{x}" x2="{x + 22}" y1="{y}" y2="{y}"/><circle cx="{x + 11}" cy="{y}" r="5.5"/></g>'


def stacked(rows: Mapping[str, Mapping[str, int]], kinds: Sequence[str], title: str, axis: str, of_whole: bool) -> str:
    """A level bar for each row, in parts by kind, with a legend. of_whole: the parts are shares of their bar, else counts."""
    labels = Rows(list(rows), top=8)
    totals = [sum(counts.get(kind, 0) for kind in kinds) for counts in rows.values()]
    most = 100 if of_whole else max(*totals, 1)
    left, right = labels.width, WIDTH - (20 if of_whole else text_width(f"{most:,}") + 14)
    x = scale(0, most, left, right)
    parts = [labels.drawn(), upright_grid(ticks(0, most, 8), x, labels.top, labels.bottom)]
    for (name, counts), total, middle in zip(rows.items(), totals, labels.middles, strict=True):
        before = 0
        for number, kind in enumerate(kinds):
            count = counts.get(kind, 0)
            unit = 100 / (total or 1) if of_whole else 1
            start, stop = x(before * unit), x((before + count) * unit)
            words = f"{count * unit:.0f}%" if of_whole else f"{count:,}"
            if count:
                hover = f"{name}, {kind}: {count:,}" + (f" ({words})" if of_whole else "")
                parts.append(rect(start, middle - 12, max(0.8, stop - start - 1), 24, f"part{number}", hover))
            if stop - start > text_width(words, SMALL) + 4:
                parts.append(text((start + stop) / 2, middle + 4.5, words, "middle", f"in in{number}"))
            before += count
        if not of_whole:
            parts.append(text(x(total) + 6, middle + 5, f"{total:,}", css="value"))
    parts.append(text((left + right) / 2, labels.bottom + 33, axis, "middle", "axis"))

    def swatch(number: int, at: float, y: float) -> str:
        return rect(at + 4, y - 7, 14, 14, f"part{number}")

    drawn, more = legend(kinds, left, labels.bottom + 54, WIDTH - left, swatch)
    return svg(WIDTH, labels.bottom + 44 + more, title, "".join([*parts, drawn]))


def level_bars(values: Mapping[str, float], title: str, axis: str, write: Callable[[float], str]) -> str:
    """A level bar from zero for each value, which stands after it. write: a value as text."""
    labels = Rows(list(values), top=8)
    left, right = labels.width, WIDTH - max(map(text_width, map(write, values.values()))) - 14
    most = max(*values.values(), 0) or 1
    x = scale(0, most, left, right)
    parts = [labels.drawn(), upright_grid(ticks(0, most, 8), x, labels.top, labels.bottom)]
    for (name, value), middle in zip(values.items(), labels.middles, strict=True):
        parts.append(rect(left, middle - 11, max(0.8, x(value) - left), 22, "bar", f"{name}: {write(value)}"))
        parts.append(text(x(value) + 6, middle + 5, write(value), css="value"))
    parts.append(line(left, labels.top, left, labels.bottom, "base"))
    parts.append(text((left + right) / 2, labels.bottom + 33, axis, "middle", "axis"))
    return svg(WIDTH, labels.bottom + 42, title, "".join(parts))


def histogram(counts: Mapping[int, int], title: str, axis: str, unit: str) -> str:
    """Upright bars of counts over all whole numbers from the least to the greatest. axis: what is counted over; unit: what."""
    left, right, top, floor = 52.0, SMALL_WIDTH - 8.0, 40.0, 210.0
    numbers = range(min(counts), max(counts) + 1)
    slot = (right - left) / max(len(numbers), 4)
    most = max(counts.values()) or 1
    y = scale(0, most, floor, top)
    parts = [text(0, 12, unit, css="axis"), level_grid(ticks(0, most, 5), y, left, right)]
    every = -(-text_width(str(max(numbers)) + "0", SMALL) // slot)
    has_values = slot >= text_width(f"{most:,}", SMALL)
    for number in numbers:
        count, middle = counts.get(number, 0), left + slot * (number - numbers[0] + 0.5)
        if count:
            hover = f"{number}: {count:,} {unit}"
            parts.append(rect(middle - slot * 0.4, y(count), slot * 0.8, floor - y(count), "bar", hover))
        if has_values and count:
            parts.append(text(middle, y(count) - 5, f"{count:,}", "middle", "small"))
        if (number - numbers[0]) % every == 0:
            parts.append(text(middle, floor + 16, str(number), "middle", "tick"))
    parts.append(line(left, floor, right, floor, "base"))
    parts.append(text((left + right) / 2, floor + 36, axis, "middle", "axis"))
    return svg(SMALL_WIDTH, floor + 44, title, "".join(parts))
