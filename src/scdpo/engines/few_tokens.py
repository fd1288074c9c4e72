"""Linear layers for passes of few tokens on a processor: every product is cut into slices that the threads share.

Knows no requests and no cache. MKL gives a float32 product of a few rows to its threads badly, and a batch of products well:
with two threads, 1 to 64 tokens took 1.2 to 4 times as long through torch's linear layer (docs/engines.md).
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOST_TOKENS = 128
"""With more tokens torch's own product is as fast."""
SLICE = range(32, 129)
"""Outputs of a slice."""
WORTH_SLICING = 2**16
"""Weights of a matrix from which on it is cut: smaller ones lie in the processor's cache, and one call is the cost."""


def for_few_tokens(model: Any) -> Any:
    """The model with sliced linear layers where they pay: for float32 on a processor, with MKL; else the model itself.

    What is returned is a second module over the same parameters and buffers, and for inference only.
    """
    if model.device.type != "cpu" or model.dtype != torch.float32 or not torch.backends.mkl.is_available():
        return model
    shared = {id(held): held for held in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, shared)
    for module in list(twin.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and slices_of(child.weight) > 1:
                setattr(module, name, SlicedLinear(child))
    return twin


def slices_of(weight: Tensor) -> int:
    """How many slices a matrix [outputs, inputs] is cut into: the fewest that are narrow enough, 1 where none divide it or it is
    not worth it. The number of threads has no say, so that sums are the same bits with any."""
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
        """inputs: [..., inputs], float32. Returns [..., outputs]."""
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
