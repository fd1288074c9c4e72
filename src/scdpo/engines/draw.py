"""Drawing tokens: temperature, top-p and a seed's own numbers, the same for every engine that holds the logits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

SHARE = 256
"""Tokens of a stretch of the vocabulary whose probability is summed before one of them is looked for."""


def draws_of(seed: int, count: int) -> Tensor:
    """The numbers in [0, 1) with which a request draws its tokens, one a token. [count], float64."""
    return torch.from_numpy(np.random.Generator(np.random.Philox(key=seed)).random(count))


def draw(
    logits: Tensor, temperatures: Tensor, top_p: Tensor | None, numbers: Tensor, any_greedy: bool = True, any_drawn: bool = True
) -> Tensor:
    """The token of each row whose share of the distribution its number falls into; the likeliest where the temperature is 0.

    logits: [rows, vocabulary], float32; temperatures: [rows]; top_p: [rows], None where all are 1; numbers: [rows], float64;
    any_greedy, any_drawn: False where it is known that no temperature is 0, or that all are. Returns [rows].
    """
    if not any_drawn:
        return logits.argmax(dim=-1)
    greedy = temperatures == 0
    probabilities = torch.softmax(logits / torch.where(greedy, 1.0, temperatures)[:, None].float(), dim=-1)
    if top_p is not None:
        probabilities = nucleus(probabilities, top_p)
    drawn = at_share(probabilities, numbers)
    return torch.where(greedy, logits.argmax(dim=-1), drawn) if any_greedy else drawn


def at_share(weights: Tensor, numbers: Tensor) -> Tensor:
    """The index of each row at which the sum of its weights passes `numbers` of the whole; never one of weight 0.

    Sums of stretches are cumulated, and then the one stretch that was hit: the whole vocabulary is read once and only added up.
    weights: [rows, vocabulary], float32; numbers: [rows] in [0, 1), float64. Returns [rows].
    """
    vocabulary = weights.shape[1]
    if vocabulary <= 2 * SHARE:
        return _passes(weights.double().cumsum(dim=-1), numbers)[0]
    stretches = F.pad(weights, (0, -vocabulary % SHARE)).unflatten(1, (-1, SHARE))
    stretch, rest = _passes(stretches.sum(dim=-1).double().cumsum(dim=-1), numbers)
    hit = stretches.gather(1, stretch[:, None, None].expand(-1, 1, SHARE))[:, 0]
    return stretch * SHARE + _passes(hit.double().cumsum(dim=-1), rest)[0]


def _passes(cumulative: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """(where `numbers` of the last value are passed, which part of that step they come to, in [0, 1)). Each [rows]."""
    targets = numbers[:, None] * cumulative[:, -1:]
    place = torch.searchsorted(cumulative, targets, right=True).clamp(max=cumulative.shape[1] - 1)
    above = cumulative.gather(1, place)
    below = torch.where(place > 0, cumulative.gather(1, (place - 1).clamp(min=0)), 0.0)
    part = ((targets - below) / (above - below)).clamp(0.0, 1 - 2**-50)
    return place[:, 0], part[:, 0]


def nucleus(probabilities: Tensor, top_p: Tensor) -> Tensor:
    """The probabilities with those set to 0 that the likeliest tokens do without to reach `top_p` (nucleus sampling,
    arXiv 1904.09751). [rows, vocabulary]."""
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    reached = ordered.cumsum(dim=-1, dtype=torch.float64) - ordered
    return torch.zeros_like(probabilities).scatter_(-1, order, ordered.where(reached < top_p[:, None], 0.0))
