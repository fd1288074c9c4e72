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
from torch.nn.functional import pad
from torch.utils.checkpoint import checkpoint

from scdpo.training.output_layer import target_log_probs
from scdpo.training.packing import block_mask

CHUNK = 1024
"""How many counted tokens have their logits at once, where nothing else is asked for."""
GRID = 64
"""The step between the shapes of bfloat16 products on a processor."""
MODEL_INPUTS = ("input_ids", "predictor", "target", "position_ids", "attention_mask", "subtree_ends")


def token_log_probs(model: Any, batch: Mapping[str, Any], chunk: int = CHUNK) -> Tensor:
    """log p(token | what it sees) of the n counted tokens of a micro-batch (see collator), [n] in nats, float32.

    chunk: logits held at once, in tokens; beyond one chunk they are computed again in the backward pass.
    """
    count = len(batch["target"])
    if batch["input_ids"].device.type == "cpu" and torch.is_autocast_enabled("cpu"):
        batch = on_grid(batch)
    states = model.get_decoder()(
        input_ids=batch["input_ids"],
        position_ids=batch.get("position_ids"),
        attention_mask=block_mask(batch["subtree_ends"]) if "subtree_ends" in batch else batch.get("attention_mask"),
        use_cache=False,
    ).last_hidden_state
    found = predicted(model, states.flatten(0, 1)[batch["predictor"]], batch["target"], chunk)
    return found if len(found) == count else found[:count]


def on_grid(batch: Mapping[str, Any]) -> dict[str, Any]:
    """A micro-batch padded to multiples of GRID: its rows on the right, and its counted tokens at their end.

    oneDNN, which computes bfloat16 products on processors, compiles a kernel for every shape and keeps a thousand of them:
    without a grid a training's memory grew by 5 GB (docs/training.md).
    """
    width, count = batch["input_ids"].shape[1], len(batch["target"])
    wider, longer = -width % GRID, (0, -count % GRID)
    columns = {name: pad(batch[name], (0, wider)) for name in ("input_ids", "position_ids") if name in batch}
    if "attention_mask" in batch:  # what pads is to see something: nothing at all is not a number
        columns["attention_mask"] = pad(pad(batch["attention_mask"], (0, wider)), (0, 0, 0, wider), value=True)
    places = batch["predictor"] + batch["predictor"] // width * wider
    return {**batch, **columns, "predictor": pad(places, longer), "target": pad(batch["target"], longer)}


def predicted(model: Any, states: Tensor, target: Tensor, chunk: int) -> Tensor:
    """The log-probs [n] of the targets [n] from the hidden states [n, width] that predict them."""
    config, layer = model.config.get_text_config(), model.get_output_embeddings()
    if scale := getattr(config, "logit_scale", None):  # Cohere
        states = states * scale
    if scale := getattr(config, "logits_scaling", None):  # Granite
        states = states / scale
    cap = getattr(config, "final_logit_softcapping", None) or 0.0  # Gemma 2
    parts = list(zip(states.split(chunk), target.split(chunk), strict=True))
    if is_plain(layer):
        keep = len(parts) == 1
        return torch.cat([target_log_probs(part, layer.weight, layer.bias, ids, cap, keep) for part, ids in parts])
    if len(parts) == 1:
        return project(layer, states, target, cap)
    return torch.cat([checkpoint(project, layer, part, ids, cap, use_reentrant=False) for part, ids in parts])


def is_plain(layer: Any) -> bool:
    """Whether a layer is its weights and nothing else: no adapter, no quantization, nothing that gathers it first."""
    return type(layer) is torch.nn.Linear and "forward" not in vars(layer) and not layer._forward_pre_hooks


def project(layer: Any, states: Tensor, target: Tensor, cap: float) -> Tensor:
    """`target_log_probs` by whatever the output layer is."""
    logits = layer(states).float()
    if cap:
        logits = cap * torch.tanh(logits / cap)
    return logits.gather(1, target[:, None])[:, 0] - logits.logsumexp(dim=1)


@contextlib.contextmanager
def forward_counts(model: Any, chunk: int) -> Iterator[None]:
    """Let `model(**inputs)` be `token_log_probs`, so that wrappers around the model (DDP, FSDP, DeepSpeed, autocast) see the
    whole computation as the forward pass that they wait for."""

    def forward(self: Any, **batch: Tensor) -> Tensor:
        return token_log_probs(self, batch, chunk)

    before = vars(model).get("forward")  # which other libraries put there in the same way
    model.forward = MethodType(forward, model)
    try:
        yield
    finally:
        del model.forward
        if before is not None:
            model.forward = before


def forward_log_probs(model: Any, batch: Mapping[str, Any], chunk: int = CHUNK) -> Tensor:
    """`token_log_probs` as the model's forward pass, for a model that may be wrapped."""
    with forward_counts(model, chunk):
        return model(**{name: batch[name] for name in MODEL_INPUTS if name in batch})


def pair_log_probs(tokens: Tensor, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """(chosen, rejected), each [pairs]: the sums of token log-probs [n] over each side's tokens after the fork.

    In float64 where the device has it: sums of hundreds of nats whose differences matter.
    """
    if tokens.device.type != "mps":
        tokens = tokens.double()
    sums = []
    for side in ("chosen", "rejected"):
        zeros = tokens.new_zeros(len(batch["forks"]))
        sums.append(zeros.index_add(0, batch[f"{side}_pair"], tokens[batch[f"{side}_token"]]))
    return sums[0], sums[1]


def pair_lengths(batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """(chosen, rejected), each [pairs]: how many tokens each side counts after the fork."""
    # Added up and not counted: for a count the host would wait for a GPU.
    none, chosen, rejected = torch.zeros_like(batch["forks"]), batch["chosen_pair"], batch["rejected_pair"]
    return none.index_add(0, chosen, torch.ones_like(chosen)), none.index_add(0, rejected, torch.ones_like(rejected))
