"""The report of the whole run, made again whenever it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scdpo.run.stage import Output, Stage

if TYPE_CHECKING:
    from scdpo.run.directory import Round
    from scdpo.run.tools import Tools


def outputs(current: Round) -> list[Output]:
    from scdpo.run.draws import drawn

    inputs = [drawn("evaluate", each, draw) for each in current.run.rounds for draw in each.evaluation_draws]
    return [Output("report", current.run.path / "report.html", "report", {}, inputs, anew=True)]


def make(tools: Tools, current: Round, owed: Sequence[Output]) -> str:
    """The note is the run's tables and their reading."""
    from scdpo.run.results import write_report

    tools.watcher.begin("report", "files", [("report", 3)], 0)
    return write_report(current.run)


REPORT = Stage("report", "write results.json, report.md, report.html, figures and tables", outputs=outputs, make=make)
