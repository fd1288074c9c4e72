"""Log-probs of counted tokens under a model, and their sums by pair.

Logits exist only where a counted token is predicted, and no more than a chunk of them at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

MODEL_INPUTS = ("input_ids", "predictor", "target", "position_ids", "attention_mask")


def token_log_probs(model: Any, batch: Mapping[str, Any], chunk: int = 1024) -> Tensor:
    """log p(token | what it sees) of the n counted tokens of a micro-batch (see collator), [n] in nats, float32.

    chunk: logits held at once, in tokens; beyond one chunk they are computed again in the backward pass.
    """
    states = model.get_decoder()(
        input_ids=batch["input_ids"],
        position_ids=batch.get("position_ids"),
        attention_mask=batch.get("attention_mask"),
        use_cache=False,
    ).last_hidden_state
    chosen = states.flatten(0, 1)[batch["predictor"]]
    target = batch["target"]
    if len(target) <= chunk:
        return _log_probs(model, chosen, target)
    parts = zip(chosen.split(chunk), target.split(chunk), strict=True)
    return torch.cat([checkpoint(_log_probs, model, states, ids, use_reentrant=False) for states, ids in parts])


def _log_probs(model: Any, states: Tensor, target: Tensor) -> Tensor:
    """The output layer on hidden states [n, width], as far as the targets [n] need it."""
    config = model.config.get_text_config()
    logits = model.get_output_embeddings()(states).float()
    if scale := getattr(config, "logit_scale", None):  # Cohere
        logits = logits * scale
    if scale := getattr(config, "logits_scaling", None):  # Granite
        logits = logits / scale
    if cap := getattr(config, "final_logit_softcapping", None):  # Gemma 2
        logits = cap * torch.tanh(logits / cap)
    return logits.gather(1, target[:, None])[:, 0] - logits.logsumexp(dim=1)


@contextlib.contextmanager
def forward_counts(model: Any, chunk: int) -> Iterator[None]:
    """Let `model(**inputs)` be `token_log_probs`, so that wrappers around the model (DDP, FSDP, DeepSpeed, autocast) see the
    whole computation as the forward pass that they wait for."""

    def forward(self: Any, **batch: Tensor) -> Tensor:
        return token_log_probs(self, batch, chunk)

    model.forward = MethodType(forward, model)
    try:
        yield
    finally:
        del model.forward


def pair_log_probs(tokens: Tensor, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """(chosen, rejected), each [pairs]: the sums of token log-probs [n] over each side's tokens after the fork."""
    sums = []
    for side in ("chosen", "rejected"):
        zeros = torch.zeros(len(batch["forks"]), device=tokens.device)
        sums.append(zeros.index_add(0, batch[f"{side}_pair"], tokens[batch[f"{side}_token"]]))
    return sums[0], sums[1]


def pair_lengths(batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """(chosen, rejected), each [pairs]: how many tokens each side counts after the fork."""
    count = len(batch["forks"])
    return torch.bincount(batch["chosen_pair"], minlength=count), torch.bincount(batch["rejected_pair"], minlength=count)
