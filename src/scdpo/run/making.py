"""Carrying a stage out: its time, what is kept beside its outputs, and blocks of problems.

Knows stages as records, and none of them by name.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import TypeVar

from scdpo.errors import RunError
from scdpo.files import write_whole
from scdpo.run.directory import Round, round_name
from scdpo.run.manifest import describe_machine
from scdpo.run.stage import Output, Stage, lacking, owed
from scdpo.run.tools import Tools
from scdpo.run.yields import contents, in_words

Key = TypeVar("Key")
ALREADY_THERE = "already there"
LOG = logging.getLogger(__name__)


def run_stage(tools: Tools, stage: Stage, current: Round) -> None:
    """One stage in one round, its time added to the manifest. Raises RunError where it needs what is not there."""
    name = round_name(stage.name, current.number)
    began, note, outputs = time.monotonic(), ALREADY_THERE, owed(stage, current)
    try:
        if missing := lacking(stage, current):
            raise RunError(missing)
        if outputs:
            if tools.is_main:
                keep_notes(outputs)
            note = stage.make(tools, current, outputs)
    finally:
        tools.watcher.stop()
        if tools.is_main:
            seconds = tools.run.manifest().get("stage_seconds", {})
            seconds[name] = round(seconds.get(name, 0.0) + time.monotonic() - began, 2)
            facts = describe_machine(tools.run, tools.block_workers.described(), tools.layers) if outputs else {}
            tools.run.update_manifest(stage_seconds=seconds, **facts)
    found = stage.found(current) if tools.is_main else ""
    took, said = time.monotonic() - began, "; ".join(filter(None, (note, found)))
    tools.watcher.end(name, took, said)
    LOG.info("%s: %.1f s; %s", name, took, said.partition("\n")[0])


def keep_notes(outputs: Iterable[Output]) -> None:
    """Write what the outputs are made from beside them, before they are begun."""
    for output in outputs:
        if output.anew:
            continue
        output.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output.note, output.made_from.to_text())


def run_blocks(
    tools: Tools,
    stage: str,
    unit: str,
    files: Mapping[Key, Output],
    function: Callable[..., list],
    tasks: Callable[[Key, int], Iterable[tuple]],
    called: Callable[[Key], str] = str,
) -> None:
    """The blocks that the files still owe, file by file, each committed whole and in order.

    unit: what a file's lines are; tasks: those of a file from a block on; called: what a file's work is called.
    """
    found: Counter[str] = Counter()
    began = time.monotonic()
    records = {key: output.records for key, output in files.items() if output.records is not None}
    first = {key: each.repair() for key, each in records.items()}
    left = [(key, index) for key, each in records.items() for index in range(first[key], each.blocks)]
    done = sum(min(first[key] * each.block, each.count) for key, each in records.items())
    tools.watcher.begin(stage, unit, ((called(key), records[key].size(index)) for key, index in left), done)
    work = chain.from_iterable(tasks(key, first[key]) for key in files)
    blocks = tools.block_workers.map(function, work, tools.run.recipe.engine.threads, tools.watcher.update)
    for (key, _), block in zip(left, blocks, strict=True):
        records[key].append(block)
        found.update(contents(block))
        tokens = found["tokens"] / max(time.monotonic() - began, 1e-9)
        counts = in_words({what: count for what, count in found.items() if what != "tokens"})
        tools.watcher.say(", ".join(filter(None, (counts, f"{tokens:,.0f} tokens/s" if found["tokens"] else ""))))
