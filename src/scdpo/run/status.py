"""A run at a glance: stage by stage what is there, owed and stale, what the records hold, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Group
from rich.table import Table
from rich.text import Text

from scdpo.run.directory import RunDirectory, round_name
from scdpo.run.prepare import problem_reasons
from scdpo.run.stage import Output, Stage, all_turns


@dataclass(frozen=True, slots=True)
class StageStatus:
    """state: done, begun, owed or stale; what is missing or why it is stale; what the records hold."""

    name: str
    state: str
    detail: str
    found: str


def stage_status(stage: Stage, number: int, run: RunDirectory) -> StageStatus:
    """Pure reading."""
    current = run.round(number)
    outputs = stage.outputs(current)
    reasons = dict.fromkeys(reason for output in outputs for reason in output.reasons())
    missing = [output for output in outputs if not (output.path.exists() if output.anew else output.is_complete)]
    begun = [output for output in outputs if output.is_begun and output in missing]
    state = "stale" if reasons else "done" if not missing else "begun" if begun or len(missing) < len(outputs) else "owed"
    detail = "; ".join(reasons) or ", ".join(progress(output) for output in missing if state == "begun")
    found = stage.found(current) if len(missing) < len(outputs) or begun else ""
    return StageStatus(round_name(stage.name, number), state, detail, found)


def progress(output: Output) -> str:
    """How much of an output is there."""
    if output.records is None:
        return f"{output.what} {'begun' if output.is_begun else 'owed'}"
    return f"{output.records.whole()} of {output.records.count} {output.what}"


def what_next(run: RunDirectory, stages: Sequence[Stage], states: Sequence[StageStatus]) -> str:
    """The command to go on with."""
    if problem_reasons(run) or any(each.state == "stale" for each in states):
        keep = f"scdpo run --out NEW --from {run.path}"
        return f"scdpo run --out {run.path} --remake, which makes again what is stale; or {keep}, which keeps it"
    open_stages = [each.name for each in states if each.state != "done"]
    if not open_stages:
        return "nothing is owed; the page: " + str(run.path / "report.html")
    return f"scdpo run --out {run.path} goes on with {open_stages[0]}"


def status_table(run: RunDirectory, stages: Sequence[Stage]) -> Group:
    """The whole, for the terminal."""
    turns = all_turns(run, stages)
    states = [stage_status(stage, current.number, run) for stage, current in turns]
    if any(each.state != "done" for each in states[:-1]):  # the report is of everything before it
        states[-1] = replace(states[-1], state="owed")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("stage", "", "what is there"):
        table.add_column(name, overflow="fold")
    if problems := problem_reasons(run):
        table.add_row("problems", "stale", "; ".join(problems))
    colours = {"done": "green", "begun": "yellow", "owed": "dim", "stale": "red"}
    for each in states:
        said = "; ".join(filter(None, (each.detail, each.found)))
        table.add_row(each.name, Text(each.state, colours[each.state]), Text(said))
    taken = run.manifest().get("taken_over", {})
    lines = [Text(f"{len(taken)} outputs taken over from {', '.join(dict.fromkeys(taken.values()))}")] if taken else []
    return Group(Text(f"run directory: {run.path}"), table, *lines, Text(f"next: {what_next(run, stages, states)}"))
