"""The preference loss: a pure function of four vectors. Knows no model, no tokens and no layout."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def sigmoid_loss(chosen: Tensor, rejected: Tensor, beta: float) -> Tensor:
    """DPO loss of each pair (Eq. 3 and 4: they differ only in where a pair's counted tokens begin).

    chosen, rejected: [pairs], log pi(y|x) - log pi_ref(y|x) in nats, summed over the tokens after the fork.
    Returns [pairs].
    """
    return -F.logsigmoid(beta * (chosen - rejected))


def preference_loss(
    policy_chosen: Tensor, policy_rejected: Tensor, reference_chosen: Tensor, reference_rejected: Tensor, beta: float
) -> Tensor:
    """L_SCDPO of each pair (Eq. 5), naive and step-controlled alike.

    All four: [pairs], log-probs in nats, summed over the tokens after the fork. Returns [pairs].
    """
    return sigmoid_loss(policy_chosen - reference_chosen, policy_rejected - reference_rejected, beta)
