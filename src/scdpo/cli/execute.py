"""`scdpo execute FILE`: the outputs of code blocks in a JSON-lines file, each line's in an isolated session of its own."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from rich.console import Console

from scdpo.cli.files import progress_bar, written
from scdpo.cli.options import Shown
from scdpo.cores import usable_cores
from scdpo.errors import SandboxError, users_file
from scdpo.jsonlines import JsonLine, read_json_lines
from scdpo.sandbox.output import Output
from scdpo.sandbox.sandbox import Sandbox
from scdpo.sandbox.settings import SandboxSettings

LINES_PER_JOB = 4
NO_BLOCKS = 'no list of texts in "blocks"; every line needs one'


class Execute(SandboxSettings):
    """Run the code blocks in a JSON-lines file, each line's in an isolated session of its own.

    A line is an object as {"id": 1, "blocks": ["x = 2", "print(x)"]}; a line of outputs is written for each, in the same order.
    The limits are those of [sandbox] in a recipe (docs/sandbox.md).
    """

    file: Annotated[str, Shown(is_positional=True)]
    """JSON lines with "id" and "blocks", a list of Python texts."""
    out: Annotated[str | None, Shown("FILE")] = None
    """Where the outputs go (default: standard output)."""


@dataclass
class Task:
    """A line whose blocks are being run. outputs: by the block's place."""

    line: JsonLine
    blocks: list[str]
    outputs: dict[int, Output] = field(default_factory=dict)

    @property
    def is_done(self) -> bool:
        return len(self.outputs) == len(self.blocks)

    def to_json(self) -> dict[str, Any]:
        assert self.line.record is not None
        outputs = [self.outputs[place].to_json() for place in range(len(self.blocks))]
        return {"id": self.line.record.get("id", self.line.number), "outputs": outputs}


def execute(options: Execute, console: Console) -> None:
    """Run the blocks of each line in order and write a line of outputs for each, in the lines' order; to standard output
    without `out`.

    Raises SandboxError for a line without blocks, named by file and line, and where there is no isolation.
    """
    path, out = options.file, options.out
    settings = SandboxSettings.model_validate(options.model_dump(include=set(SandboxSettings.model_fields)))
    counts: Counter[str] = Counter()
    lines = 0
    with Sandbox(settings) as sandbox, progress_bar(path, console, "executing") as advance, written(out) as write:
        put: Callable[[str], object] = write if out else sys.stdout.write
        for task in execute_lines(path, sandbox):
            put(json.dumps(task.to_json(), ensure_ascii=False) + "\n")
            counts.update(output.status for output in task.outputs.values())
            lines += 1
            advance(task.line.end)
        if not lines:
            raise SandboxError(f'{path} is empty; it needs one JSON object a line with "id" and "blocks"')
        layers = sandbox.start().described()
    if out:
        found = ", ".join(f"{count:,} {status}" for status, count in counts.most_common()) or "none"
        console.print(f"{lines:,} lines; blocks: {found}")
        console.print(f"isolation: {', '.join(layers)}")
        console.print(f"outputs: {out}")


def execute_lines(path: str, sandbox: Sandbox) -> Iterator[Task]:
    """The tasks of a file with their outputs, in the file's order; some run at once."""
    window = LINES_PER_JOB * (sandbox.settings.jobs or usable_cores())
    lines = read_json_lines(path)
    open_tasks: dict[int, Task] = {}
    exhausted = False
    while True:
        while not exhausted and len(open_tasks) < window:
            with users_file():
                line = next(lines, None)
            exhausted = line is None
            if line is not None:
                open_tasks[line.number] = task = Task(line, blocks_of(line))
                for place, code in enumerate(task.blocks):
                    sandbox.submit((line.number, place), line.number, code, task.blocks[place + 1 :])
        if not open_tasks:
            return
        first = next(iter(open_tasks))
        if open_tasks[first].is_done:
            yield open_tasks.pop(first)
            continue
        for (number, place), output in sandbox.poll(None):
            task = open_tasks[number]
            task.outputs[place] = output
            if task.is_done:
                sandbox.close(number)


def blocks_of(line: JsonLine) -> list[str]:
    """The blocks of a line. Raises SandboxError naming it where it has none."""
    blocks = line.record.get("blocks") if line.record is not None else None
    if line.record is None or not isinstance(blocks, list) or not all(isinstance(block, str) for block in blocks):
        raise SandboxError(f"{line.where}: {line.flaw or NO_BLOCKS}")
    return blocks
