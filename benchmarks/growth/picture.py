"""The growth as a figure, drawn as a report's are. Knows no files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from benchmarks.growth.cost import Cost, Setting
from scdpo.report.figures import Figure
from scdpo.report.line_charts import Line, LinePanel, line_chart

TITLE = "Seconds and memory of sampling and forking, by how many times as many there are"
VARIED: Mapping[str, Callable[[Setting], int]] = {
    "problems": lambda setting: setting.problems,
    "forks": lambda setting: setting.forks,
    "workers": lambda setting: setting.workers,
}
"""What each series varies."""


def picture(costs: Mapping[str, Sequence[Cost]]) -> str:
    """An SVG file: seconds and memory, a line for each series, whose first setting stands at 1."""

    def panel(axis: str, figure: Callable[[Cost], float]) -> LinePanel:
        lines = []
        for style, (name, series) in enumerate(costs.items()):
            first = VARIED[name](series[0].setting)
            points = [(VARIED[name](cost.setting) / first, figure(cost)) for cost in series]
            lines.append(Line(f"{name}, from {first:,}", style, points))
        return LinePanel(lines, "times as many", axis, x_reach=(0.0,), y_reach=(0.0,))

    panels = [panel("seconds", lambda cost: cost.seconds), panel("MB", lambda cost: cost.memory)]
    return Figure("growth", TITLE, line_chart(panels, TITLE)).standalone()
