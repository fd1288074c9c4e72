"""Many trees in one row, in depth-first order, and which blocks of that row see which: for FlexAttention.

In depth-first order all that descends from a token follows it without a gap, so one number a token tells who sees it: the
place after its last descendant. A query sees a key if and only if the key is not later and the query lies before that
place. Knows the rows (solutions/rendering); knows no model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from scdpo.solutions.rendering import TreeRow

BLOCK = 128
"""Queries and keys of a block, FlexAttention's own."""
LEAST_WIDTH = 1024
"""Widths of attention are this, doubled as often as need be: FlexAttention is compiled for each of them."""


def depth_first(row: TreeRow) -> tuple[list[int], list[int]]:
    """The n indices of a row in depth-first order (the trunk, then its branches, the last to leave it first), and for each
    place in that order the place after the last token that descends from it."""
    trunk = [index for index, segment in enumerate(row.segments) if segment == 0]
    branches: dict[int, list[int]] = {}
    for index, segment in enumerate(row.segments):
        if segment:
            branches.setdefault(segment, []).append(index)
    order, ends = list(trunk), []
    in_order = sorted(branches.values(), key=lambda branch: -row.shared[branch[0]])
    for branch in in_order:
        order += branch
        ends += [len(order)] * len(branch)
    end, leaving = len(order), list(in_order)
    of_trunk = []
    for index in trunk:  # a branch descends from the trunk's tokens up to where it leaves it
        while leaving and row.shared[leaving[-1][0]] <= index:
            end -= len(leaving.pop())
        of_trunk.append(end)
    return order, of_trunk + ends


def pack(rows: Sequence[TreeRow], counted: Iterable[tuple[int, int]]) -> dict[str, Tensor]:
    """All trees in one row of n tokens, without padding. counted: (row, index in it) of each of the m counted tokens.

    input_ids, position_ids: [1, n]; predictor, target: [m], as in collator.place; subtree_ends: [width], for each token the
    place after the last one that descends from it, filled up to a width that FlexAttention is compiled for.
    """
    ids: list[int] = []
    positions: list[int] = []
    ends: list[int] = []
    places: list[dict[int, int]] = []
    for row in rows:
        first = len(ids)
        order, own_ends = depth_first(row)
        ids += [row.ids[index] for index in order]
        positions += [row.positions[index] for index in order]
        ends += [first + end for end in own_ends]
        places.append({index: place for place, index in enumerate(order, start=first)})
    ends += range(len(ids) + 1, compiled_width(len(ids)) + 1)  # what fills up sees itself
    known = list(counted)
    return {
        "input_ids": torch.tensor([ids]),
        "position_ids": torch.tensor([positions]),
        "subtree_ends": torch.tensor(ends, dtype=torch.int32),
        "predictor": torch.tensor([places[number][rows[number].predictors[index]] for number, index in known]),
        "target": torch.tensor([rows[number].ids[index] for number, index in known]),
    }


def compiled_width(tokens: int) -> int:
    """The least width of the grid that holds so many tokens."""
    width = LEAST_WIDTH
    while width < tokens:
        width *= 2
    return width


def sees(subtree_ends: Tensor) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """FlexAttention's mask function of a packed row: whether a query sees a key."""

    def seen(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < subtree_ends[key])

    return seen


def block_mask(subtree_ends: Tensor) -> BlockMask:
    """The blocks of a packed row [width] in which some query sees some key, and those in which every one sees all.

    Both follow from the least and the largest end of a block of keys, so nothing of width x width is ever made.
    """
    ends = subtree_ends.view(-1, BLOCK)
    first = torch.arange(len(ends), device=ends.device) * BLOCK
    earlier = first[None, :] < first[:, None]  # [blocks of queries, blocks of keys]
    same = first[None, :] == first[:, None]
    full = earlier & (ends.amin(1)[None, :] >= first[:, None] + BLOCK)
    partial = same | (earlier & (ends.amax(1)[None, :] > first[:, None]) & ~full)
    return BlockMask.from_kv_blocks(
        *_ordered(partial),
        *_ordered(full),
        BLOCK_SIZE=BLOCK,
        mask_mod=sees(subtree_ends),
        seq_lengths=(len(first) * BLOCK,) * 2,
    )


def _ordered(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """How many blocks of keys each block of queries has [1, 1, blocks], and which, these first [1, 1, blocks, blocks]."""
    order = blocks.int().argsort(dim=1, descending=True, stable=True)
    return blocks.sum(1, dtype=torch.int32)[None, None], order.int()[None, None]
