"""Charts of lines with bands, as SVG text: training curves, and figures by temperature. Pure functions (see charts)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scdpo.report.charts import SMALL_WIDTH, WIDTH, level_grid, upright_grid
from scdpo.report.svg import Scale, legend, line, mark, scale, svg, text, tick_step, ticks, titled

TICKS = 5
MARKED = 24
"""A line of more points has no mark at each of them."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points (x, y) by rising x. style: which colour, dash and mark, 0 to 4; band: (low, high) at each point."""

    name: str
    style: int
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True)
class LinePanel:
    """Lines over common axes. x_reach, y_reach: what the axes show at least; the upright one
    goes from tick to tick."""

    lines: Sequence[Line]
    x_axis: str
    y_axis: str
    x_reach: tuple[float, ...] = ()
    y_reach: tuple[float, ...] = ()

    @property
    def x_ends(self) -> tuple[float, float]:
        every = [x for each in self.lines for x, _ in each.points] + list(self.x_reach)
        return min(every), max(every)

    @property
    def y_ends(self) -> tuple[float, float]:
        every = [y for each in self.lines for _, y in each.points] + list(self.y_reach)
        every += [end for each in self.lines for ends in each.band for end in ends]
        low, high = min(every), max(every)
        step = tick_step(high - low, TICKS)
        return step * math.floor(low / step), step * math.ceil(high / step) if high > low else low + step


def line_chart(panels: Sequence[LinePanel], title: str) -> str:
    """The panels side by side with one legend; a single one is a small chart."""
    width = SMALL_WIDTH if len(panels) == 1 else WIDTH
    each, top, bottom = width / len(panels), 28.0, 218.0
    parts = [_panel(panel, number * each, (number + 1) * each - 8, top, bottom) for number, panel in enumerate(panels)]
    styles = {one.name: one.style for panel in panels for one in panel.lines}

    def swatch(number: int, x: float, y: float) -> str:
        style = list(styles.values())[number]
        marked = any(len(one.points) <= MARKED for panel in panels for one in panel.lines)
        return line(x, y, x + 22, y, f"line{style}") + (mark(x + 11, y, style) if marked else "")

    drawn, more = legend(list(styles), 52, bottom + 58, width - 52, swatch)
    return svg(width, bottom + 48 + more, title, "".join([*parts, drawn]))


def _panel(panel: LinePanel, start: float, right: float, top: float, bottom: float) -> str:
    left = start + 52
    low, high = panel.y_ends
    x, y = scale(*panel.x_ends, left + 8, right - 8), scale(low, high, bottom, top)
    parts = [text(start, 12, panel.y_axis, css="axis"), level_grid(ticks(low, high, TICKS), y, left, right)]
    parts.append(upright_grid(ticks(*panel.x_ends, 8), x, top, bottom))
    parts.append(line(left, bottom, right, bottom, "base"))
    parts.append(text((left + right) / 2, bottom + 34, panel.x_axis, "middle", "axis"))
    parts += [_band(each, x, y) for each in panel.lines if each.band]
    parts += [_line(each, x, y) for each in panel.lines]
    return "".join(parts)


def _band(one: Line, x: Scale, y: Scale) -> str:
    forth = [f"{x(at):.1f},{y(high):.1f}" for (at, _), (_, high) in zip(one.points, one.band, strict=True)]
    back = [f"{x(at):.1f},{y(low):.1f}" for (at, _), (low, _) in zip(one.points, one.band, strict=True)]
    return f'<polygon class="band{one.style}" points="{" ".join([*forth, *reversed(back)])}"/>'


def _line(one: Line, x: Scale, y: Scale) -> str:
    path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in one.points)
    drawn = f'<polyline class="line{one.style}" points="{path}">{titled(one.name)}</polyline>'
    if len(one.points) > MARKED:
        return drawn
    intervals = [f" [{low:.1f}, {high:.1f}]" for low, high in one.band] or [""] * len(one.points)
    for (at, value), interval in zip(one.points, intervals, strict=True):
        drawn += mark(x(at), y(value), one.style, f"{one.name} at {at:g}: {value:.4g}{interval}")
    return drawn
