"""Inside vLLM: the ramp, top-p and the seed's own draws, as a logits processor that leaves one token to choose.

vLLM's own temperature is one a request, and its seeds crash its CPU build; so it runs greedily after this. Its batch changes
as its BatchUpdate tells (vllm.v1.sample.logits_processor). Imported only where vLLM is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from vllm.v1.sample.logits_processor import LogitsProcessor, MoveDirectionality

from scdpo.engines.draw import draw, draws_of

STEP_ENDS = "scdpo_step_end_ids"
"""Where vLLM's additional_config carries the ids that end a step."""


@dataclass(slots=True)
class Row:
    """A request in vLLM's batch. own: the ids that vLLM has generated for it, growing; numbers: its draws, one an id."""

    ramp: tuple[float, float, float]
    top_p: float
    step: int
    inside: bool
    numbers: Tensor
    own: list[int]
    counted: int = field(default=0)

    def temperature(self, step_end_ids: Collection[int]) -> float:
        """The temperature of the next id; counts the steps that have ended since the last time."""
        for id in self.own[self.counted :]:
            ends = id in step_end_ids
            self.step += ends and self.inside
            self.inside = not ends
        self.counted = len(self.own)
        start, increment, maximum = self.ramp
        return min(start + self.step * increment, maximum)


class RampedDraw(LogitsProcessor):
    """Draws each row's token and hides all others."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self.step_end_ids = frozenset(vllm_config.additional_config[STEP_ENDS])
        self.rows: dict[int, Row] = {}

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        if batch_update is None:
            return
        for index in batch_update.removed:
            self.rows.pop(index, None)
        for index, params, _, own in batch_update.added:
            asked = (params.extra_args or {}).get("scdpo")
            self.rows.pop(index, None)
            if asked is not None:
                numbers = draws_of(asked["seed"], asked["before"] + params.max_tokens)[asked["before"] :]
                self.rows[index] = Row(tuple(asked["ramp"]), asked["top_p"], asked["step"], asked["inside"], numbers, own)
        for first, second, direction in batch_update.moved:
            moved, other = self.rows.pop(first, None), self.rows.pop(second, None)
            if moved is not None:
                self.rows[second] = moved
            if other is not None and direction == MoveDirectionality.SWAP:
                self.rows[first] = other

    def apply(self, logits: Tensor) -> Tensor:
        indices = sorted(index for index in self.rows if index < len(logits))
        if not indices:
            return logits
        rows = [self.rows[index] for index in indices]
        numbers = torch.stack([row.numbers[min(len(row.own), len(row.numbers) - 1)] for row in rows]).to(logits.device)
        temperatures = numbers.new_tensor([row.temperature(self.step_end_ids) for row in rows])
        top_p = numbers.new_tensor([row.top_p for row in rows])
        chosen = draw(logits[indices].float(), temperatures, top_p if (top_p < 1).any() else None, numbers)
        logits[indices] = -torch.inf
        logits[indices, chosen] = 0.0
        return logits
