"""A model as it generates fastest on a processor: the same parameters, other calls for products (and for attention, see there).

Knows no requests and no cache. MKL shares a float32 product of few rows badly among its threads, and a batch of products well:
with two threads a matrix of 1,536 x 576 took 4 times as long for 2 tokens through torch's linear layer, 1.5 times for 64
(docs/engines.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scdpo.engines.attention import GROUPED, with_attention

MOST_TOKENS = 128
"""With more tokens torch's own product is as fast."""
SLICE = range(32, 129)
"""Outputs of a slice."""
WORTH_SLICING = 2**16
"""Weights of a matrix from which on it is cut: smaller ones lie in the processor's cache, and one call is the cost."""


def for_processor(model: Any) -> Any:
    """A second module over the parameters and buffers of a causal LM with "sdpa" attention, for inference on a processor."""
    twin = with_attention(model, GROUPED)
    if torch.backends.mkl.is_available():
        for module in list(twin.modules()):
            for name, child in list(module.named_children()):
                if type(child) is nn.Linear and child.weight.dtype == torch.float32 and slices_of(child.weight) > 1:
                    setattr(module, name, SlicedLinear(child))
    return twin


def slices_of(weight: Tensor) -> int:
    """How many slices a matrix [outputs, inputs] is cut into: the fewest that are narrow enough; 1 where none divides it or it
    is not worth it. Threads have no say in it, so that sums are the same bits with any number of them."""
    outputs = weight.shape[0]
    if weight.numel() < WORTH_SLICING or not weight.is_contiguous():
        return 1
    return outputs // next((width for width in reversed(SLICE) if outputs % width == 0), outputs)


class SlicedLinear(nn.Module):
    """y = x W^T + b as a batch of products, one a slice of W's rows; W is looked at and not copied."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias
        self.slices = slices_of(linear.weight)

    def forward(self, inputs: Tensor) -> Tensor:
        """inputs: [..., inputs]. Returns [..., outputs]."""
        outputs, width = self.weight.shape
        rows = inputs.reshape(-1, width)
        if len(rows) > MOST_TOKENS:
            return F.linear(inputs, self.weight, self.bias)
        slices = self.weight.view(self.slices, -1, width)
        if len(rows) <= (4 if outputs >= width else 2):  # W x^T reads W in its own order, and is the faster one up to there
            product = torch.bmm(slices, rows.T.expand(self.slices, -1, -1)).flatten(0, 1).T
        else:
            product = torch.bmm(rows.expand(self.slices, -1, -1), slices.transpose(1, 2)).transpose(0, 1).flatten(1)
        return (product if self.bias is None else product + self.bias).reshape(*inputs.shape[:-1], outputs)
