"""What a training minimises: SFT on trunks, or preference pairs. Each turns token log-probs into a loss and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from scdpo.training.collator import Item, collate_pairs, collate_trunks
from scdpo.training.log_probs import pair_log_probs, token_log_probs
from scdpo.training.loss import preference_loss


class Objective(Protocol):
    """A loss that is a sum over units, so that any split into micro-batches gives the same update."""

    def collate(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """The tensors of one micro-batch."""

    def units(self, batch: Mapping[str, Tensor]) -> int:
        """How many units (tokens, pairs) the micro-batch holds."""

    def loss(self, model: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss summed over the units, and figures to log: name -> one value a pair (or none), averaged when logged."""


class SftObjective:
    """Mean negative log-prob of the trunks' counted tokens."""

    def collate(self, items: Sequence[Item]) -> dict[str, Tensor]:
        return collate_trunks(items)

    def units(self, batch: Mapping[str, Tensor]) -> int:
        return len(batch["target"])

    def loss(self, model: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return -token_log_probs(model, batch).sum(), {}


@dataclass(frozen=True, slots=True)
class PreferenceObjective:
    """L_SCDPO (Eq. 5) over the pairs of trees, naive and step-controlled alike."""

    beta: float

    def collate(self, items: Sequence[Item]) -> dict[str, Tensor]:
        return collate_pairs(items)

    def units(self, batch: Mapping[str, Tensor]) -> int:
        return len(batch["forks"])

    def loss(self, model: Any, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        chosen, rejected = pair_log_probs(token_log_probs(model, batch), batch)
        losses = preference_loss(chosen, rejected, batch["reference_chosen"], batch["reference_rejected"], self.beta)
        with torch.no_grad():
            rewards = {
                "chosen": self.beta * (chosen - batch["reference_chosen"]),
                "rejected": self.beta * (rejected - batch["reference_rejected"]),
            }
            figures = {
                "rewards/chosen": rewards["chosen"],
                "rewards/rejected": rewards["rejected"],
                "rewards/margin": rewards["chosen"] - rewards["rejected"],
                "rewards/accuracy": (rewards["chosen"] > rewards["rejected"]).float(),
                "log_probs/chosen": chosen.detach(),
                "log_probs/rejected": rejected.detach(),
            }
            kinds = {"naive": batch["forks"] == 0, "step-controlled": batch["forks"] > 0}
            logged = {f"{kind}/{name}": figures[name][where] for kind, where in kinds.items() for name in figures}
        return losses.sum(), figures | logged
