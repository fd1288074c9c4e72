"""From rows to tensors: one padded micro-batch with a 4-D mask, and which hidden state predicts which counted token.

Knows the rows (solutions/rendering); knows no model and no loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scdpo.solutions.rendering import TreeRow

Reference = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Item:
    """A row to train on, with the reference log-probs (chosen, rejected) of each of its pairs, in nats."""

    row: TreeRow
    reference: Reference = ()


def collate_pairs(items: Sequence[Item]) -> dict[str, Tensor]:
    """A micro-batch of preference pairs.

    `rows` with their layout (see `layout`), over tokens counted in some pair; then chosen_token, rejected_token: [m], indices
    into the n counted tokens, with chosen_pair, rejected_pair: [m], the pair each belongs to; reference_chosen,
    reference_rejected: [pairs] in nats; forks: [pairs].
    """
    counted: list[tuple[int, int]] = []
    sides: dict[str, tuple[list[int], list[int]]] = {"chosen": ([], []), "rejected": ([], [])}
    forks: list[int] = []
    for number, item in enumerate(items):
        tokens = sorted({i for pair in item.row.pairs for i in (*pair.chosen, *pair.rejected)})
        places = {token: len(counted) + offset for offset, token in enumerate(tokens)}
        counted.extend((number, token) for token in tokens)
        for pair in item.row.pairs:
            for side, indices in (("chosen", pair.chosen), ("rejected", pair.rejected)):
                sides[side][0].extend(places[i] for i in indices)
                sides[side][1].extend([len(forks)] * len(indices))
            forks.append(pair.fork)
    reference = torch.tensor([pair for item in items for pair in item.reference], dtype=torch.float32).reshape(-1, 2)
    batch = layout([item.row for item in items], counted) | {"forks": torch.tensor(forks)}
    for side, (tokens, pairs) in sides.items():
        batch |= {f"{side}_token": torch.tensor(tokens), f"{side}_pair": torch.tensor(pairs)}
    if len(reference):
        batch |= {"reference_chosen": reference[:, 0], "reference_rejected": reference[:, 1]}
    return batch


def collate_trunks(items: Sequence[Item]) -> dict[str, Tensor]:
    """A micro-batch for SFT: the layout, over the trunks' counted tokens. The rows are to have no branches."""
    return layout([item.row for item in items], [(number, i) for number, item in enumerate(items) for i in item.row.trunk])


def layout(rows: Sequence[TreeRow], counted: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
    """input_ids: [rows, width]; predictor: [n], flat index rows x width of the hidden state that predicts each counted token;
    target: [n], the token; position_ids: [rows, width] and attention_mask: bool [rows, 1, width, width], both left out for rows
    without branches, whose padding on the right a causal model never looks at.
    """
    width = max(len(row) for row in rows)

    def padded(columns: Iterable[Sequence[int]], filler: int = 0) -> Tensor:
        return torch.tensor([[*values, *[filler] * (width - len(values))] for values in columns])

    batch = {
        "input_ids": padded(row.ids for row in rows),
        "predictor": torch.tensor([number * width + rows[number].predictors[i] for number, i in counted]),
        "target": torch.tensor([rows[number].ids[i] for number, i in counted]),
    }
    if any(row.pairs for row in rows):
        segments = padded((row.segments for row in rows), filler=-1)
        shared = padded(row.shared for row in rows)
        place = torch.arange(width)
        before = place[None, :] <= place[:, None]
        own = segments[:, :, None] == segments[:, None, :]
        trunk = (segments[:, None, :] == 0) & (place[None, None, :] < shared[:, :, None])
        batch |= {
            "position_ids": padded(row.positions for row in rows),
            "attention_mask": (before & (own | trunk))[:, None],
        }
    return batch
