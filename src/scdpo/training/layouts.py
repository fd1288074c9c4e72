"""Which layout a training takes: the one that its trees are fastest with, of those that the model is found to take.
That is found out on some trees before the training, by comparing numbers.

The truth is what the model says of each solution alone, by its own forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from scdpo.errors import ModelError, first_line
from scdpo.solutions.rendering import TreeRow, as_two_rows
from scdpo.training.adapters import without_dropout
from scdpo.training.attention import PACKED, take_packed_rows
from scdpo.training.collator import Batch, Item, Layout, collate_pairs, collate_trunks
from scdpo.training.log_probs import forward_log_probs
from scdpo.training.placement import recover

# Rounding of one log-prob, in nats: the largest seen was 2e-5 in float32. Another mask changes them by 0.01 and more.
TOLERANCE = 1e-3
# Of models that compute in bfloat16 (quantized ones may): they round by what else is in the batch.
ROUGH_TOLERANCE = 0.5
PACKED_FROM = 1024
"""Tokens of the row that a token stands in on average, from which on packed trees are taken on a GPU. Below about that others
measured FlexAttention slower than a dense mask, and above it faster (docs/gpu.md)."""
NOTES = {
    "packed": "this model takes no packed trees ({}); each tree is trained as a row of its own",
    "tree": "this model takes no 4-D attention mask ({}); its pairs are trained as two rows each, which is slower",
}
"""What a user is told where a layout was tried and the next one is taken."""


@torch.no_grad()
def check_log_probs(model: Any, row: TreeRow, is_rough: bool = False) -> None:
    """Raises ModelError where the log-probs that a training would use are not the model's own.

    row: one without branches. is_rough: the model computes in bfloat16 as it is.
    """
    without_dropout(model)
    _compare(model, lambda: computed(model, collate_trunks([Item(row)])), own_log_probs(model, row), is_rough)


def preferred(rows: Sequence[TreeRow], device: str) -> tuple[Layout, ...]:
    """The layouts that "auto" tries on a type of device, in this order: packed first on CUDA where trees are long."""
    lengths = [len(row) for row in rows]
    is_long = sum(length**2 for length in lengths) >= PACKED_FROM * sum(lengths)
    return ("packed", "tree", "pairs") if device == "cuda" and is_long else ("tree", "pairs")


@torch.no_grad()
def choose_layout(model: Any, rows: Sequence[TreeRow], wanted: Literal["auto"] | Layout) -> tuple[Layout, str]:
    """The layout to train with, and a note for the user where it is not the one that was to be expected. The model is left with
    the attention that this layout needs.

    rows: the trees. It is tried on the longest, because a window of attention shows on nothing shorter, and where trees share a
    row on the shortest beside it. Raises ModelError where the model cannot be trained at all, or not as wanted.
    """
    without_dropout(model)
    set_attention(model, "tree")
    longest, shortest = (find(rows, key=lambda row: row.longest) for find in (max, min))
    truth = solution_log_probs(model, [longest])
    rounding = _compare(
        model, lambda: torch.cat([ends_log_probs(model, [pair], "pairs") for pair in Item(longest).by_pair()]), truth
    )
    note = ""
    for layout in preferred(rows, model.device.type) if wanted == "auto" else (wanted,):
        if layout == "pairs":
            break
        tried = [longest, shortest] if layout == "packed" else [longest]
        known = truth if layout == "tree" else solution_log_probs(model, tried)
        difference, flaw = _difference(model, partial(tree_log_probs, model, tried, layout), known)
        if difference <= max(TOLERANCE, 3 * rounding):
            return layout, note
        set_attention(model, "tree")
        if wanted == layout:
            raise ModelError(f'this model cannot be trained with layout "{layout}" ({flaw}); set training.layout to "auto"')
        note = NOTES[layout].format(flaw)
    return "pairs", note


def set_attention(model: Any, layout: Layout) -> None:
    """Give a model the attention that a layout needs. Raises ValueError where it does not take it."""
    if layout == "packed":
        take_packed_rows(model)
    elif model.config._attn_implementation == PACKED:
        model.set_attn_implementation("sdpa")


def tree_log_probs(model: Any, rows: Sequence[TreeRow], layout: Layout) -> Tensor:
    """`ends_log_probs` of whole trees, with the attention that their layout needs."""
    set_attention(model, layout)
    return ends_log_probs(model, [Item(row) for row in rows], layout)


def solution_log_probs(model: Any, rows: Sequence[TreeRow]) -> Tensor:
    """The counted tokens' log-probs pair by pair, the chosen end's first, from each solution alone."""
    sides = [side for row in rows for pair in row.pairs for side in as_two_rows(row, pair)]
    return torch.cat([own_log_probs(model, side) for side in sides])


def own_log_probs(model: Any, row: TreeRow) -> Tensor:
    """The log-probs of a plain row's counted tokens [n] from the model's whole forward pass."""
    logits = model(input_ids=torch.tensor([row.ids], device=model.device), use_cache=False).logits[0]
    chosen = logits[[row.predictors[place] for place in row.trunk]].float()
    target = torch.tensor([row.ids[place] for place in row.trunk], device=chosen.device)
    return chosen.log_softmax(dim=1).gather(1, target[:, None])[:, 0].cpu()


def computed(model: Any, batch: Batch) -> Tensor:
    """The log-probs of a micro-batch, brought to the model's device and back."""
    return forward_log_probs(model, {name: to_device(values, model.device) for name, values in batch.items()}).cpu()


def ends_log_probs(model: Any, items: Sequence[Item], layout: Layout) -> Tensor:
    """The counted tokens' log-probs pair by pair, the chosen end's before the rejected one's."""
    batch = collate_pairs(items, layout)
    tokens = computed(model, batch)
    places = [
        batch[f"{side}_token"][batch[f"{side}_pair"] == number]
        for number in range(len(batch["forks"]))
        for side in ("chosen", "rejected")
    ]
    return tokens[torch.cat(places)]


def _compare(model: Any, compute: Callable[[], Tensor], truth: Tensor, is_rough: bool = False) -> float:
    """How far plain rows are off, in nats. Raises ModelError where that is more than rounding."""
    difference, flaw = _difference(model, compute, truth)
    if difference > (ROUGH_TOLERANCE if is_rough or getattr(model, "is_quantized", False) else TOLERANCE):
        raise ModelError(f"this model's log-probs cannot be computed from its hidden states and output layer ({flaw})")
    return difference


def _difference(model: Any, compute: Callable[[], Tensor], truth: Tensor) -> tuple[float, str]:
    """The largest difference to the truth in nats (infinite where the model fails), and the same in words."""
    try:
        difference = (compute() - truth).abs().max().item()
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # models raise whatever their code stumbles over
        recover(model)
        return float("inf"), f"{type(error).__name__}: {first_line(error)[:120]}"
    return difference, f"log-probs are off by {difference:.2g} nats"


def to_device(value: Any, device: torch.device) -> Any:
    if not isinstance(value, Tensor):
        return value
    narrow = device.type == "mps" and value.dtype == torch.float64  # which it does not know
    return (value.float() if narrow else value).to(device)
