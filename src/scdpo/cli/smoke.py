"""`scdpo run RECIPE --smoke`: what is said before and after the run, which is an ordinary one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from scdpo.run.directory import RunDirectory


def start_smoke(folder: str, recipe: str, overrides: Mapping[str, str], console: Console) -> RunDirectory:
    """The run directory of a recipe's smoke, with its stand-in model; says what was replaced by what."""
    from scdpo.run.smoke import prepare_smoke

    run, replaced = prepare_smoke(folder, recipe, overrides)
    console.print(f"[bold]a smoke[/bold] of {recipe}: shows that its parts work together, and nothing of what it would come to")
    for line in replaced:
        console.print(f"  replaced: {line}", markup=False)
    return run


def end_smoke(run: RunDirectory, console: Console) -> None:
    """Say what the finished smoke shows. Raises RunError where that is too little."""
    from scdpo.run.smoke import check_smoke

    console.print(f"the smoke went through every stage: {check_smoke(run)}", markup=False)
