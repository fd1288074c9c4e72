"""Which layout a model can be trained with: found out on a tree before the training, by comparing numbers.

The truth is what the model says of each solution alone, by its own forward pass.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from scdpo.errors import ModelError
from scdpo.solutions.rendering import TreeRow
from scdpo.training.adapters import without_dropout
from scdpo.training.collator import Batch, Item, Layout, collate_pairs
from scdpo.training.log_probs import token_log_probs

# Rounding of one log-prob, in nats: the largest seen was 2e-5 in float32. Another mask changes them by 0.01 and more.
TOLERANCE = 1e-3


@torch.inference_mode()
def choose_layout(model: Any, row: TreeRow, wanted: Literal["auto", "tree", "pairs"]) -> tuple[Layout, str]:
    """The layout to train with, and a note for the user where it is not the one that was to be expected.

    row: a tree to try it on; the longest, because a window of attention shows on nothing shorter. Raises ModelError where
    the model cannot be trained at all, or not as wanted.
    """
    without_dropout(model)
    pairs = collate_pairs([Item(row)], "pairs")
    truth = own_log_probs(model, pairs)
    if flaw := misfit(model, pairs, truth):
        raise ModelError(f"this model's log-probs cannot be computed from its hidden states and output layer ({flaw})")
    if wanted == "pairs":
        return "pairs", ""
    by_pair = truth[torch.cat([pairs["chosen_token"], pairs["rejected_token"]]).to(truth.device)]
    tree = collate_pairs([Item(row)], "tree")
    order = torch.cat([tree["chosen_token"], tree["rejected_token"]])
    flaw = misfit(model, tree | {"predictor": tree["predictor"][order], "target": tree["target"][order]}, by_pair)
    if not flaw:
        return "tree", ""
    if wanted == "tree":
        raise ModelError(f'this model cannot be trained on whole trees ({flaw}); set training.layout to "pairs" or "auto"')
    return "pairs", f"this model takes no 4-D attention mask ({flaw}); its pairs are trained as two rows each, which is slower"


def own_log_probs(model: Any, batch: Batch) -> Tensor:
    """The counted tokens' log-probs [n] from the model's whole forward pass over plain rows."""
    logits = model(input_ids=batch["input_ids"].to(model.device), use_cache=False).logits.flatten(0, 1)
    chosen = logits[batch["predictor"].to(logits.device)].float()
    return chosen.log_softmax(dim=1).gather(1, batch["target"].to(logits.device)[:, None])[:, 0]


def misfit(model: Any, batch: Batch, truth: Tensor) -> str:
    """How `token_log_probs` differs from the truth [n], in words; nothing where it does not."""
    try:
        found = token_log_probs(model, {name: to_device(values, model.device) for name, values in batch.items()})
    except Exception as error:  # models raise whatever their code stumbles over
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120] if str(error).strip() else ''}"
    difference = (found - truth).abs().max().item()
    return "" if difference <= TOLERANCE else f"log-probs are off by {difference:.2g} nats"


def to_device(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value
