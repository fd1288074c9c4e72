"""Drawing tokens: temperature, top-p and a seed's own numbers, the same for every engine that holds the logits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def draws_of(seed: int, count: int) -> Tensor:
    """The numbers in [0, 1) with which a request draws its tokens, one a token. [count], float64."""
    return torch.from_numpy(np.random.Generator(np.random.Philox(key=seed)).random(count))


def draw(logits: Tensor, temperatures: Tensor, top_p: Tensor | None, numbers: Tensor) -> Tensor:
    """The token of each row whose share of the distribution its number falls into; the likeliest where the temperature is 0.

    logits: [rows, vocabulary], float32; temperatures: [rows]; top_p: [rows], None where all are 1; numbers: [rows], float64.
    Returns [rows].
    """
    greedy = temperatures == 0
    scaled = logits / torch.where(greedy, 1.0, temperatures)[:, None].float()
    probabilities = torch.softmax(scaled, dim=-1, dtype=torch.float64)
    if top_p is not None:
        probabilities = within(probabilities, top_p)
    cumulative = probabilities.cumsum(dim=-1)
    targets = numbers[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, targets, right=True)[:, 0].clamp(max=logits.shape[1] - 1)
    return torch.where(greedy, logits.argmax(dim=-1), drawn)


def within(probabilities: Tensor, top_p: Tensor) -> Tensor:
    """The probabilities with those set to 0 that the likeliest tokens do without to reach `top_p` (nucleus sampling,
    arXiv 1904.09751). [rows, vocabulary]."""
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    reached = ordered.cumsum(dim=-1) - ordered
    return torch.zeros_like(probabilities).scatter_(-1, order, ordered.where(reached < top_p[:, None], 0.0))
