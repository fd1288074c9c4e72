"""The page's pictures as SVG text: accuracies with intervals, bars of parts, training curves. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from scdpo.evaluation.statistics import Estimate
from scdpo.report.result import LABELS, label, percent, points

ROW, LEFT, WIDTH = 34, 150, 720


def interval_chart(estimates: Mapping[str, Estimate], title: str) -> str:
    """A dot and its interval for each model, on one scale in percent."""
    low = min(value.low for value in estimates.values())
    high = max(value.high for value in estimates.values())
    margin = max(0.01, (high - low) * 0.08)
    low, high = max(0.0, low - margin), min(1.0, high + margin)
    return _dots({label(name): value for name, value in estimates.items()}, low, high, title, percent)


def difference_chart(estimates: Mapping[str, Estimate], title: str) -> str:
    """A dot and its interval for each difference, with a line at zero; grey where the interval includes zero."""
    named = {" - ".join(LABELS[part] for part in name.split(" - ")): value for name, value in estimates.items()}
    reach = max(max(abs(value.low), abs(value.high)) for value in estimates.values()) * 1.08
    return _dots(named, -reach, reach, title, points, left=250, zero=True)


def _dots(
    estimates: Mapping[str, Estimate],
    low: float,
    high: float,
    title: str,
    text: Callable[[Estimate], str],
    left: int = LEFT,
    zero: bool = False,
) -> str:
    height = ROW * len(estimates) + 34

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (WIDTH - left - 190)

    parts = []
    step = next(size for size in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if (high - low) / size <= 8)
    tick = -(-low // step) * step
    while tick <= high:
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="8" y2="{height - 22}"/>')
        parts.append(f'<text class="tick" x="{x(tick):.1f}" y="{height - 6}" text-anchor="middle">{100 * tick:g}</text>')
        tick = round(tick + step, 6)
    if zero:
        parts.append(f'<line class="zero" x1="{x(0):.1f}" x2="{x(0):.1f}" y1="4" y2="{height - 20}"/>')
    for number, (name, value) in enumerate(estimates.items()):
        y = ROW * number + 24
        kind = "dot unresolved" if zero and not value.is_resolved else "dot"
        parts.append(
            f'<g class="{kind}"><text x="{left - 12}" y="{y + 5}" text-anchor="end">{escape(name)}</text>'
            f'<line x1="{x(value.low):.1f}" x2="{x(value.high):.1f}" y1="{y}" y2="{y}"/>'
            f'<circle cx="{x(value.value):.1f}" cy="{y}" r="6"><title>{escape(name)}: {text(value)}</title></circle>'
            f'<text class="value" x="{WIDTH - 4}" y="{y + 5}" text-anchor="end">{text(value)}</text></g>'
        )
    return _svg(WIDTH, height, title, "".join(parts))


def stacked_bars(rows: Mapping[str, Mapping[str, int]], kinds: Sequence[str], title: str) -> str:
    """One bar of parts for each model, parts as shares of the bar, with a legend."""
    height = ROW * len(rows) + 40
    parts = []
    for number, (name, counts) in enumerate(rows.items()):
        total, at, y = sum(counts.values()) or 1, 0.0, ROW * number + 8
        parts.append(f'<text x="{LEFT - 12}" y="{y + 17}" text-anchor="end">{escape(LABELS[name])}</text>')
        for index, kind in enumerate(kinds):
            width = (WIDTH - LEFT - 10) * counts.get(kind, 0) / total
            label = f"{100 * counts.get(kind, 0) / total:.0f}%"
            parts.append(
                f'<rect class="part{index}" x="{LEFT + at:.1f}" y="{y}" width="{width:.1f}" height="24">'
                f"<title>{escape(kind)}: {counts.get(kind, 0)} ({label})</title></rect>"
            )
            if width > 34:
                parts.append(f'<text class="in" x="{LEFT + at + width / 2:.1f}" y="{y + 17}">{label}</text>')
            at += width
    for index, kind in enumerate(kinds):
        x, y = LEFT + index * 145, height - 22
        parts.append(f'<rect class="part{index}" x="{x}" y="{y}" width="14" height="14"/>')
        parts.append(f'<text x="{x + 20}" y="{y + 12}">{escape(kind)}</text>')
    return _svg(WIDTH, height, title, "".join(parts))


def curves(series: Mapping[str, Sequence[tuple[float, float]]], title: str) -> str:
    """Lines over training steps by their names, with a legend; each from its training's start on the left to its end."""
    points_ = [point for line in series.values() for point in line]
    if not points_:
        return ""
    width, height, left, bottom = 460, 230, 52, 44
    low, high = min(y for _, y in points_), max(y for _, y in points_)
    spread = (high - low) or 1.0
    places = max(0, 1 - math.floor(math.log10(spread)))
    legend = left
    parts = []
    for part in range(5):
        tick = round(low + spread * part / 4, places) + 0.0  # no -0
        y = 12 + (height - bottom - 12) * (1 - part / 4)
        parts.append(f'<line class="grid" x1="{left}" x2="{width - 6}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:.{places}f}</text>')
    for index, (name, line) in enumerate(series.items()):
        last = line[-1][0] or 1
        path = " ".join(
            f"{left + (width - left - 6) * x / last:.1f},{12 + (height - bottom - 12) * (1 - (y - low) / spread):.1f}"
            for x, y in line
        )
        parts.append(f'<polyline class="line{index}" points="{path}"><title>{escape(name)}</title></polyline>')
        parts.append(f'<line class="line{index}" x1="{legend}" x2="{legend + 18}" y1="{height - 12}" y2="{height - 12}"/>')
        parts.append(f'<text x="{legend + 24}" y="{height - 8}">{escape(name)}</text>')
        legend += 44 + 8 * len(name)
    return _svg(width, height, title, "".join(parts))


def _svg(width: int, height: int, title: str, content: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
        f"{content}</svg>"
    )
