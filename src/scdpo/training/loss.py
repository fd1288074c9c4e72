"""The preference losses: pure functions of log-ratios and lengths. Knows no model, no tokens and no layout.

A log-ratio is log pi(y|x) - log pi_ref(y|x) in nats, summed over the tokens after the fork, or (with length normalisation)
their mean. chosen, rejected: [pairs]; every function returns [pairs]. docs/loss.md says which is for what.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scdpo.training.settings import LossSettings


def sigmoid_loss(chosen: Tensor, rejected: Tensor, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """DPO loss of each pair (Eq. 3 and 4: they differ only in where a pair's counted tokens begin).

    label_smoothing: the share of pairs believed to be the wrong way round (cDPO, Mitchell 2023); the paper's is 0.
    """
    margin = beta * (chosen - rejected)
    return -(1 - label_smoothing) * F.logsigmoid(margin) - label_smoothing * F.logsigmoid(-margin)


def ipo_loss(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """IPO (Azar et al., arXiv 2310.12036, Eq. 17): the log-ratios' difference is pulled to 1 / (2 beta), and not beyond."""
    return (chosen - rejected - 1 / (2 * beta)) ** 2


def hinge_loss(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """The hinge of SLiC (arXiv 2305.10425) on DPO's margin: nothing to gain beyond a margin of 1."""
    return F.relu(1 - beta * (chosen - rejected))


def keep_positive(chosen: Tensor, weight: float) -> Tensor:
    """DPO-Positive (Pal et al., arXiv 2402.13228, Eq. 3): what a chosen log-ratio lacks to 0 counts `weight` times more."""
    return chosen - weight * F.relu(-chosen)


@dataclass(frozen=True, slots=True)
class PairLogProbs:
    """What a loss is made from, all [pairs]: log-probs in nats, summed over the counted tokens after the fork; how many these
    are; the pairs' forks, in steps."""

    policy_chosen: Tensor
    policy_rejected: Tensor
    reference_chosen: Tensor
    reference_rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor
    forks: Tensor

    @property
    def chosen(self) -> Tensor:
        """Log-ratios of the chosen ends, in nats."""
        return self.policy_chosen - self.reference_chosen

    @property
    def rejected(self) -> Tensor:
        """Log-ratios of the rejected ends, in nats."""
        return self.policy_rejected - self.reference_rejected


def pair_losses(pairs: PairLogProbs, beta: float, settings: LossSettings) -> Tensor:
    """The loss of each pair as `settings` has it; with the default settings the paper's L_SCDPO (Eq. 5)."""
    chosen, rejected = pairs.chosen, pairs.rejected
    if settings.length_normalised:
        chosen, rejected = chosen / pairs.chosen_tokens, rejected / pairs.rejected_tokens
    if settings.positive:
        chosen = keep_positive(chosen, settings.positive)
    if settings.kind == "ipo":
        losses = ipo_loss(chosen, rejected, beta)
    elif settings.kind == "hinge":
        losses = hinge_loss(chosen, rejected, beta)
    else:
        losses = sigmoid_loss(chosen, rejected, beta, settings.label_smoothing)
    if settings.sft:
        losses = losses - settings.sft * pairs.policy_chosen / pairs.chosen_tokens
    weights = torch.where(pairs.forks > 0, settings.step_controlled_weight, settings.naive_weight)
    return weights.to(losses.dtype) * losses
