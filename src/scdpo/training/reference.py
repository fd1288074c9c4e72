"""Reference log-probs of every pair: computed once with the training's own collator, kept on disk by content.

A pair is known by its ids and the model by its fingerprint, so trainings on overlapping trees share what is there, and
a changed model, tokenizer or tree is computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from accelerate.utils import gather_object

from scdpo.jsonlines import read_json_lines
from scdpo.solutions.rendering import RowPair, TreeRow, as_two_rows
from scdpo.training.adapters import without_dropout
from scdpo.training.collator import Item, Layout, Reference, collate_pairs
from scdpo.training.layouts import to_device
from scdpo.training.log_probs import CHUNK, forward_log_probs, pair_log_probs
from scdpo.training.memory import keep_freed_memory
from scdpo.training.placement import share_out
from scdpo.training.plan import own_places, split
from scdpo.training.processes import launched

Values = tuple[float, float]
Report = Callable[[int, int], None]


def reference_log_probs(
    model: Any, rows: Sequence[TreeRow], token_budget: int, layout: Layout = "tree", chunk: int = CHUNK
) -> list[Reference]:
    """(chosen, rejected) of each pair of each row under `model`, in nats, in the rows' order."""
    return _of_rows(rows, compute(model, rows, token_budget, layout, chunk))


def cached_reference(
    file: Path | None, rows: Sequence[TreeRow], ask: Callable[[Sequence[TreeRow]], Mapping[str, Values]]
) -> list[Reference]:
    """The reference log-probs of the rows' pairs: those that `file` holds, the others from `ask` (see compute), and then in the
    file too. file: of one model in one number format; None: nothing is kept."""
    known = read_cache(file) if file else {}
    missing = [row for row in rows if any(pair_key(row, pair) not in known for pair in row.pairs)]
    if missing:
        found = ask(missing)
        if file and launched().is_main_process:
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps({"pair": key, "log_probs": values}) for key, values in found.items()]
            with file.open("a+b") as out:
                torn = out.tell() > 0 and not ends_line(out)
                out.write(("\n" * torn + "".join(line + "\n" for line in lines)).encode())
        launched().wait_for_everyone()  # who reads on is to find what was written
        known |= found
    return _of_rows(rows, known)


def ends_line(file: IO[bytes]) -> bool:
    """Whether an open file's last byte is a line end. Leaves the file at its end."""
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def read_cache(file: Path) -> dict[str, Values]:
    """What a cache file holds; a line that a kill tore is not a loss."""
    if not file.exists():
        return {}
    records = (line.record for line in read_json_lines(file))
    return {record["pair"]: tuple(record["log_probs"]) for record in records if record}


@torch.no_grad()
def compute(
    model: Any,
    rows: Sequence[TreeRow],
    token_budget: int,
    layout: Layout,
    chunk: int,
    report: Report = lambda done, total: None,
) -> dict[str, Values]:
    """The log-probs of the rows' pairs by `pair_key`. Of a model with adapters, with these switched off.

    Several processes share the work, and each gets the whole.
    """
    without_dropout(model)
    if model.device.type == "cpu":
        keep_freed_memory()
    state = launched()
    parts = split([Item(row) for row in rows], token_budget, layout, state.num_processes)
    found: dict[str, Values] = {}
    with without_adapters(model):
        own = [parts[place] for place, _ in own_places(len(parts), state.num_processes, state.process_index)]
        for number, micro_batch in enumerate(own, start=1):
            batch = {name: to_device(value, model.device) for name, value in collate_pairs(micro_batch, layout).items()}
            chosen, rejected = pair_log_probs(forward_log_probs(model, batch, chunk), batch)
            keys = (pair_key(item.row, pair) for item in micro_batch for pair in item.row.pairs)
            found |= zip(keys, zip(chosen.tolist(), rejected.tolist(), strict=True), strict=True)
            report(number, len(own))
    return {key: values for part in gather_object([found]) for key, values in part.items()}


@contextlib.contextmanager
def without_adapters(model: Any) -> Iterator[None]:
    """The model as it was before PEFT's adapters came on."""
    if not hasattr(model, "peft_config"):
        yield
        return
    with model.disable_adapter():
        yield
        share_out(model)  # PEFT lets the weights learn again that it finds: the sharded ones


def pair_key(row: TreeRow, pair: RowPair) -> str:
    """A content hash of a pair: both solutions with their prompt, and which of their tokens count."""
    content = [(end.ids, end.trunk) for end in as_two_rows(row, pair)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _of_rows(rows: Sequence[TreeRow], known: Mapping[str, Values]) -> list[Reference]:
    return [tuple(known[pair_key(row, pair)] for pair in row.pairs) for row in rows]
