"""What keeps a run's code in, found out before anything is spent on the run."""

from __future__ import annotations

from scdpo.run.directory import RunDirectory
from scdpo.sandbox.sandbox import Sandbox


def sandbox_layers(run: RunDirectory) -> list[str]:
    """The layers of isolation in force, for the manifest; none for a run that executes no code.

    Raises SandboxError where a layer is missing that the recipe does not do without.
    """
    if not run.recipe.code.format:
        return []
    with Sandbox(run.recipe.sandbox) as sandbox:
        return sandbox.start().described()
