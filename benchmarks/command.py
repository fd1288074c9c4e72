"""A benchmark as a command: options from its settings class, errors in one line, figures as JSON. Knows no benchmark."""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from benchmarks.errors import BenchError
from scdpo.cli.main import quiet_libraries, user_message
from scdpo.cli.options import JsonFile, add_options, read_options
from scdpo.cores import share_cores
from scdpo.files import write_whole
from scdpo.settings import Settings

Figures = dict[str, Any]


class Benchmark(Settings):
    """What every benchmark can be asked for."""

    json_file: JsonFile = None
    """Write the figures to this file."""

    @property
    def settings(self) -> dict[str, Any]:
        """What was measured, for the figures."""
        return self.model_dump(exclude={"json_file"})


BenchmarkT = TypeVar("BenchmarkT", bound=Benchmark)


def run(
    name: str,
    settings: type[BenchmarkT],
    measure: Callable[[BenchmarkT, Console], Figures],
    words: Sequence[str] | None = None,
) -> int:
    """Read the options, measure, and write the figures; returns the exit status: 0, 1 for a defect of ours, 2 for an error that
    the user can mend, 130 for an interruption."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=inspect.getdoc(settings))
    add_options(parser, settings)
    known = parser.parse_args(words)
    quiet_libraries(bars=False)
    share_cores()
    console = Console(highlight=False, soft_wrap=True)
    try:
        asked = read_options(known, settings, {})
        out = Path(asked.json_file).expanduser() if asked.json_file else None
        if out and not out.parent.is_dir():
            raise BenchError(f"{out}: no such folder to write the figures to; make it first")
        figures = measure(asked, console)
        if out:
            write_whole(out, json.dumps(figures, indent=2) + "\n")
            console.print(f"figures: {out}")
        return 0
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except Exception as error:
        message = user_message(error)
        if message is None:
            raise
        print(f"{parser.prog}: {message}", file=sys.stderr)
        return 2
