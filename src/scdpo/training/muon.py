"""Muon: momentum whose matrices are made orthogonal before they move the weights (Keller Jordan, 2024), matrices of one shape
together.

torch.optim.Muon takes one matrix after another, in bfloat16 on every device; a processor without bfloat16 products imitates
them, many times slower than float32. Knows no model.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""The quintic iteration's coefficients: the steepest at zero that stays within about 0.7 to 1.2 (as in torch.optim.Muon)."""
ITERATIONS = 5
SMALLEST_NORM = 1e-7


class Muon(Optimizer):
    """The update of torch.optim.Muon, with Nesterov momentum and its "original" scale by shape.

    Weights w, gradients g, momentum m: m <- 0.95 m + 0.05 g; w <- (1 - lr weight_decay) w - lr sqrt(max(1, rows / columns))
    orthogonal(0.05 g + 0.95 m). parameters: matrices [rows, columns]; those without a gradient are passed over. dtype: what
    products are computed in.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.dtype = dtype
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[tuple, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike[parameter.shape, parameter.device, parameter.dtype].append(parameter)
            for parameters in alike.values():
                self._step(parameters, group["lr"], group["weight_decay"], group["momentum"])

    def _step(self, parameters: list[Tensor], lr: float, weight_decay: float, momentum: float) -> None:
        gradients = torch.stack([parameter.grad for parameter in parameters])  # type: ignore[misc]
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        moments = torch.stack([self.state[parameter]["momentum_buffer"] for parameter in parameters])
        moments.lerp_(gradients, 1 - momentum)
        rows, columns = gradients.shape[1:]
        scale = lr * math.sqrt(max(1.0, rows / columns))
        updates = orthogonal(gradients.lerp_(moments, momentum), self.dtype).mul_(scale)
        for parameter, moment, update in zip(parameters, moments, updates, strict=True):
            self.state[parameter]["momentum_buffer"].copy_(moment)
            if weight_decay:
                parameter.mul_(1 - lr * weight_decay)
            parameter.sub_(update)


def orthogonal(matrices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """For each matrix U S V^T of [count, rows, columns] about U V^T: five Newton-Schulz iterations bring its singular values
    near 1. dtype: what they are computed in; returned in the matrices' own."""
    _, rows, columns = matrices.shape
    found = matrices.to(dtype)
    if rows > columns:
        found = found.mT
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=SMALLEST_NORM)  # the spectral norm is then 1 at most
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = found @ found.mT
        gram = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        found = torch.baddbmm(found, gram, found, beta=a)
    return (found.mT if rows > columns else found).to(matrices.dtype)
