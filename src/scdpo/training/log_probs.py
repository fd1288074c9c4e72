"""Log-probs of counted tokens under a model, and their sums by pair. Logits exist only where a counted token is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def token_log_probs(model: Any, batch: Mapping[str, Tensor]) -> Tensor:
    """log p(token | what it sees) of the n counted tokens of a micro-batch (see collator), [n] in nats, float32."""
    states = model.get_decoder()(
        input_ids=batch["input_ids"],
        position_ids=batch.get("position_ids"),
        attention_mask=batch.get("attention_mask"),
        use_cache=False,
    ).last_hidden_state
    logits = model.get_output_embeddings()(states.flatten(0, 1)[batch["predictor"]]).float()
    return logits.gather(1, batch["target"][:, None])[:, 0] - logits.logsumexp(dim=1)


def pair_log_probs(tokens: Tensor, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """(chosen, rejected), each [pairs]: the sums of token log-probs [n] over each side's tokens after the fork."""
    sums = []
    for side in ("chosen", "rejected"):
        zeros = torch.zeros(len(batch["forks"]), device=tokens.device)
        sums.append(zeros.index_add(0, batch[f"{side}_pair"], tokens[batch[f"{side}_token"]]))
    return sums[0], sums[1]
