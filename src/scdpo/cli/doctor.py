"""`scdpo doctor`: whether code can be run in isolation on this machine, layer by layer."""

from __future__ import annotations

import platform

from rich.console import Console
from rich.table import Table

from scdpo.errors import SandboxError
from scdpo.sandbox.layers import LAYERS
from scdpo.sandbox.sandbox import Sandbox
from scdpo.sandbox.settings import SandboxSettings
from scdpo.settings import Settings

KEEPS = {
    "ordinary user": "sessions are not root, even where the command is",
    "resource limits": "memory, processes, files and cores of a session",
    "Landlock": "no file, no TCP, no signal to other processes",
    "seccomp": "no system call but what computing needs: no file, socket, process or program",
    "bubblewrap": "namespaces of its own for files, processes and network",
    "self-test": "a session that tries all that finds every way closed",
}


class Doctor(Settings):
    """Say whether code can be run in isolation on this machine, layer by layer. See docs/sandbox.md."""


def doctor(options: Doctor, console: Console) -> None:
    """Print the layers of the sandbox. Raises SandboxError where one that must be there is missing."""
    console.print(f"{platform.platform()}, {platform.machine()}, Python {platform.python_version()}\n")
    with Sandbox(SandboxSettings(unsafe_no_isolation=True)) as sandbox:
        isolation = sandbox.start()
        probe = sandbox.run(["import numpy, scipy, sympy\nprint(numpy.__version__, scipy.__version__, sympy.__version__)"])[0]
    table = Table(box=None, pad_edge=False)
    for column in ("layer", "", "keeps"):
        table.add_column(column)
    for name in (*LAYERS, "bubblewrap", "self-test"):
        if name in isolation.missing:
            state = f"[red]missing: {isolation.missing[name]}"
        elif name in isolation.optional:
            state = f"[yellow]not used: {isolation.optional[name]} (it need not be there)"
        else:
            state = f"[green]{isolation.layers.get(name, 'passed')}"
        table.add_row(name, state, KEEPS[name])
    console.print(table)
    console.print(f"\nnumpy, scipy, sympy in a session: {probe.text}")
    if isolation.missing:
        raise SandboxError(
            f"no isolation for code on this machine ({', '.join(isolation.missing)}); chain-of-thought runs need none, "
            "code-integrated ones would need --unsafe-no-isolation"
        )
    console.print("Code-integrated solutions can be run here.")
