"""Reference log-probs of every pair: computed once with the training's own collator, kept on disk by content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from scdpo.solutions.rendering import TreeRow
from scdpo.training.collator import Item, Reference, collate_pairs
from scdpo.training.log_probs import pair_log_probs, token_log_probs
from scdpo.training.plan import split


@torch.inference_mode()
def reference_log_probs(model: Any, rows: Sequence[TreeRow], token_budget: int) -> list[Reference]:
    """(chosen, rejected) of each pair of each row under `model`, in nats, in the rows' order."""
    model.eval()
    found: dict[int, Reference] = {}
    order = {id(row): index for index, row in enumerate(rows)}
    for micro_batch in split([Item(row) for row in rows], token_budget):
        batch = {name: values.to(model.device) for name, values in collate_pairs(micro_batch).items()}
        chosen, rejected = (side.tolist() for side in pair_log_probs(token_log_probs(model, batch), batch))
        place = 0
        for item in micro_batch:
            count = len(item.row.pairs)
            found[order[id(item.row)]] = tuple(zip(chosen, rejected, strict=True))[place : place + count]
            place += count
    return [found[index] for index in range(len(rows))]


def cached_reference(
    folder: Path, model_fingerprint: str, model: Any, rows: Sequence[TreeRow], token_budget: int
) -> list[Reference]:
    """`reference_log_probs`, read from `folder` where the same model has seen the same rows before."""
    content = [(row.ids, [(pair.chosen[0], pair.rejected[0]) for pair in row.pairs]) for row in rows]
    key = hashlib.sha256(json.dumps([model_fingerprint, content]).encode()).hexdigest()[:24]
    file = folder / f"{key}.json"
    if file.exists():
        return [tuple((chosen, rejected) for chosen, rejected in pairs) for pairs in json.loads(file.read_text())]
    values = reference_log_probs(model, rows, token_budget)
    folder.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}.tmp")
    partial.write_text(json.dumps(values))
    partial.replace(file)
    return values
