"""What a training minimises: SFT on trunks, or preference pairs. Each turns token log-probs into losses and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from scdpo.training.collator import Batch, Item, Layout, collate_pairs, collate_trunks
from scdpo.training.log_probs import pair_lengths, pair_log_probs
from scdpo.training.loss import PairLogProbs, pair_losses
from scdpo.training.settings import LossSettings


class Objective(Protocol):
    """A loss that is a sum over units, so that any split into micro-batches gives the same update."""

    def collate(self, items: Sequence[Item]) -> Batch:
        """The tensors of one micro-batch, and `names`: the tree that each unit comes from."""

    def units(self, item: Item) -> int:
        """How many units (tokens, pairs) the item holds."""

    def losses(self, tokens: Tensor, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """From the log-probs [n] of the counted tokens: the loss of each unit, and figures to log (name -> a value a pair, or
        none of them), averaged when logged."""


class SftObjective:
    """Mean negative log-prob of the trunks' counted tokens."""

    def collate(self, items: Sequence[Item]) -> Batch:
        return collate_trunks(items)

    def units(self, item: Item) -> int:
        return len(item.row.trunk)

    def losses(self, tokens: Tensor, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        return -tokens, {}


@dataclass(frozen=True, slots=True)
class PreferenceObjective:
    """A preference loss over the pairs of trees, naive and step-controlled alike; L_SCDPO (Eq. 5) where nothing else is set."""

    beta: float
    settings: LossSettings = field(default_factory=LossSettings)
    layout: Layout = "tree"

    def collate(self, items: Sequence[Item]) -> Batch:
        return collate_pairs(items, self.layout)

    def units(self, item: Item) -> int:
        return len(item.row.pairs)

    def losses(self, tokens: Tensor, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        chosen, rejected = pair_log_probs(tokens, batch)
        reference = batch["reference_chosen"], batch["reference_rejected"]
        pairs = PairLogProbs(chosen, rejected, *reference, *pair_lengths(batch), batch["forks"])
        return pair_losses(pairs, self.beta, self.settings), self.figures(pairs)

    @torch.no_grad()
    def figures(self, pairs: PairLogProbs) -> dict[str, Tensor]:
        """Rewards beta log(pi/pi_ref) and log-probs in nats, of all pairs and of each kind."""
        rewards = {"chosen": self.beta * pairs.chosen.detach(), "rejected": self.beta * pairs.rejected.detach()}
        figures = {
            "rewards/chosen": rewards["chosen"],
            "rewards/rejected": rewards["rejected"],
            "rewards/margin": rewards["chosen"] - rewards["rejected"],
            "rewards/accuracy": (rewards["chosen"] > rewards["rejected"]).float(),
            "log_probs/chosen": pairs.policy_chosen.detach(),
            "log_probs/rejected": pairs.policy_rejected.detach(),
        }
        kinds = {"naive": pairs.forks == 0, "step-controlled": pairs.forks > 0}
        return figures | {f"{kind}/{name}": figures[name][where] for kind, where in kinds.items() for name in figures}
