"""The output layer and its log-softmax in one piece: log-probs of targets, with one buffer of logits in both passes.

Knows hidden states and weights; knows no model, no rows and no pairs.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

ROWS_AT_ONCE = 128
"""How many rows of logits are normalised at once: what is needed beside the logits themselves."""


def target_log_probs(
    states: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, cap: float = 0.0, keep: bool = True
) -> Tensor:
    """log softmax(states weight^T + bias)[target], [n] in nats, in float32 at least.

    states: [n, width]; weight: [vocabulary, width]; bias: [vocabulary]; target: [n] token ids. cap: logits z become
    cap tanh(z / cap) before the softmax (Gemma 2), 0 for as they are. keep: the log-probs of the whole vocabulary
    [n, vocabulary] stay in memory for the backward pass; else they are computed again there.
    """
    return _TargetLogProbs.apply(states, weight, bias, target, cap, keep)


class _TargetLogProbs(torch.autograd.Function):
    """With p the softmax and g the gradient of a target's log-prob, the logits' gradient is g (one-hot - p)."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, bias: Tensor | None, target: Tensor, cap: float, keep: bool
    ) -> Tensor:
        kind = states.device.type
        ctx.dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else states.dtype
        ctx.cap = cap
        whole, lse = _all_log_probs(states, weight, bias, cap, ctx.dtype)
        ctx.save_for_backward(states, weight, bias, target, lse if cap else None, whole if keep else None)
        return whole.gather(1, target[:, None])[:, 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, bias, target, lse, whole = ctx.saved_tensors
        if whole is None:
            whole, lse = _all_log_probs(states, weight, bias, ctx.cap, ctx.dtype)
        slope = 1 - ((whole + lse[:, None]) / ctx.cap) ** 2 if ctx.cap else None
        change = whole.exp_().mul_(-gradient[:, None])
        change.scatter_add_(1, target[:, None], gradient[:, None].to(change.dtype))
        if slope is not None:
            change *= slope
        change = change.to(ctx.dtype)
        by_states = (change @ weight.to(ctx.dtype)).to(states.dtype) if ctx.needs_input_grad[0] else None
        by_weight = (change.T @ states.to(ctx.dtype)).to(weight.dtype) if ctx.needs_input_grad[1] else None
        by_bias = change.sum(0).to(bias.dtype) if ctx.needs_input_grad[2] else None
        return by_states, by_weight, by_bias, None, None, None


def _all_log_probs(
    states: Tensor, weight: Tensor, bias: Tensor | None, cap: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """(log-probs of the whole vocabulary [n, vocabulary], logsumexp of the logits [n]), in float32 at least; the products in
    `dtype`."""
    with torch.autocast(states.device.type, enabled=False):
        logits = F.linear(states.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype))
    logits = logits.to(torch.promote_types(dtype, torch.float32))
    lse = logits.new_empty(len(logits))
    for first in range(0, len(logits), ROWS_AT_ONCE):
        rows = logits[first : first + ROWS_AT_ONCE]
        if cap:
            rows.div_(cap).tanh_().mul_(cap)
        largest = rows.amax(dim=1, keepdim=True)
        spread = rows.sub_(largest).exp().sum(dim=1, keepdim=True).log_()  # small, so that sure tokens keep their digits
        rows.sub_(spread)
        lse[first : first + ROWS_AT_ONCE] = (largest + spread)[:, 0]
    return logits, lse
