"""Muon with AdamW, for models from scratch. AdamW alone is the library's own (see train)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import AdamW, Optimizer

from scdpo.training.muon import Muon
from scdpo.training.settings import OptimizerSettings


class MuonWithAdamW(Optimizer):
    """Muon on hidden matrices, AdamW on embeddings and vectors, as one optimizer with one list of groups.

    A model from scratch learned in about half the steps of AdamW alone (docs/quickstart.md).
    """

    def __init__(self, model: torch.nn.Module, settings: OptimizerSettings) -> None:
        embeddings = {
            id(p) for module in model.modules() if isinstance(module, torch.nn.Embedding) for p in module.parameters()
        }
        parameters = [p for p in model.parameters() if p.requires_grad]
        matrices = [p for p in parameters if p.dim() == 2 and id(p) not in embeddings]
        others = [p for p in parameters if p.dim() != 2 or id(p) in embeddings]
        dtype = torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
        self.parts = (
            Muon(matrices, settings.muon_lr, settings.weight_decay, dtype=dtype),
            AdamW(others, lr=settings.lr, betas=(0.9, settings.beta2), weight_decay=settings.weight_decay),
        )
        super().__init__([{"params": parameters}], {})
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]
