"""From rows to tensors: one padded micro-batch with a 4-D mask, and which hidden state predicts which counted token.

Knows the rows (solutions/rendering); knows no model and no loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from scdpo.solutions.rendering import TreeRow, as_two_rows
from scdpo.training.packing import pack

Reference = tuple[tuple[float, float], ...]
Layout = Literal["packed", "tree", "pairs"]
Batch = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """A row to train on, with the reference log-probs (chosen, rejected) of each of its pairs, in nats."""

    row: TreeRow
    reference: Reference = ()

    def by_pair(self) -> list[Item]:
        """The same pairs, an item each, in their order."""
        known = self.reference or [None] * len(self.row.pairs)
        pairs = zip(self.row.pairs, known, strict=True)
        return [Item(replace(self.row, pairs=(pair,)), () if values is None else (values,)) for pair, values in pairs]


def collate_pairs(items: Sequence[Item], layout: Layout = "tree") -> Batch:
    """A micro-batch of preference pairs: all trees in one row (layout "packed"), each tree as one row ("tree"), or each pair as
    two ("pairs").

    The rows (see `pack` and `padded_rows`) over tokens counted in some pair; then chosen_token, rejected_token: [m], indices
    into the n counted tokens, with chosen_pair, rejected_pair: [m], the pair each belongs to; reference_chosen,
    reference_rejected: [pairs] in nats; forks: [pairs]; names: the tree of each pair.
    """
    rows: list[TreeRow] = []
    sides: dict[str, list[list[tuple[int, int]]]] = {"chosen": [], "rejected": []}
    for item in items:
        if layout != "pairs":
            rows.append(item.row)
        for pair in item.row.pairs:
            ends = (item.row, pair.chosen), (item.row, pair.rejected)
            if layout == "pairs":
                chosen, rejected = as_two_rows(item.row, pair)
                ends = (chosen, chosen.trunk), (rejected, rejected.trunk)
            for side, (row, indices) in zip(sides, ends, strict=True):
                if layout == "pairs":
                    rows.append(row)
                sides[side].append([(len(rows) - 1, index) for index in indices])
    counted = sorted({token for side in sides.values() for tokens in side for token in tokens})
    places = {token: index for index, token in enumerate(counted)}
    batch: Batch = pack(rows, counted) if layout == "packed" else padded_rows(rows, counted)
    for side, pairs in sides.items():
        batch[f"{side}_token"] = torch.tensor([places[token] for tokens in pairs for token in tokens])
        batch[f"{side}_pair"] = torch.tensor([number for number, tokens in enumerate(pairs) for _ in tokens])
    reference = torch.tensor([pair for item in items for pair in item.reference], dtype=torch.float64).reshape(-1, 2)
    if len(reference):
        batch |= {"reference_chosen": reference[:, 0], "reference_rejected": reference[:, 1]}
    batch["forks"] = torch.tensor([pair.fork for item in items for pair in item.row.pairs])
    batch["names"] = tuple(item.row.name for item in items for _ in item.row.pairs)
    return batch


def collate_trunks(items: Sequence[Item]) -> Batch:
    """A micro-batch for SFT over the trunks' counted tokens; names: the row of each of them. Rows are to have no branches."""
    rows = [item.row for item in items]
    batch = padded_rows(rows, [(number, index) for number, row in enumerate(rows) for index in row.trunk])
    return batch | {"names": tuple(row.name for row in rows for _ in row.trunk)}


def padded_rows(rows: Sequence[TreeRow], counted: Sequence[tuple[int, int]]) -> Batch:
    """input_ids: [rows, width]; predictor: [n], flat index rows x width of the hidden state that predicts each counted token;
    target: [n], the token; position_ids: [rows, width] and attention_mask: bool [rows, 1, width, width], both left out for rows
    without branches, whose padding on the right a causal model never looks at.
    """
    width = max(len(row) for row in rows)

    def padded(columns: Iterable[Sequence[int]], filler: int = 0) -> Tensor:
        return torch.tensor([[*values, *[filler] * (width - len(values))] for values in columns])

    batch: Batch = {
        "input_ids": padded(row.ids for row in rows),
        "predictor": torch.tensor([number * width + rows[number].predictors[i] for number, i in counted]),
        "target": torch.tensor([rows[number].ids[i] for number, i in counted]),
    }
    if any(row.pairs for row in rows):
        segments = padded((row.segments for row in rows), filler=-1)
        shared = padded(row.shared for row in rows)
        index = torch.arange(width)
        before = index[None, :] <= index[:, None]
        own = segments[:, :, None] == segments[:, None, :]
        trunk = (segments[:, None, :] == 0) & (index[None, None, :] < shared[:, :, None])
        batch |= {
            "position_ids": padded(row.positions for row in rows),
            "attention_mask": (before & (own | trunk))[:, None],
        }
    return batch
