"""What is asked of an engine and what it answers: token ids in, token ids out.

Knows no model, no text and no problem. Engines: transformers_engine, scripted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from scdpo.engines.temperature import TemperatureRamp
from scdpo.solutions.solution import FinishReason


@dataclass(frozen=True, slots=True)
class Generate:
    """Continue `ids` until the end of sequence or for at most `max_new_tokens`.

    temperature: by generated step (see TemperatureRamp); 0 is greedy. seed: fixes every draw of this request, whatever runs
    beside it.
    """

    ids: tuple[int, ...]
    temperature: TemperatureRamp
    max_new_tokens: int
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """The ids that followed, without the end-of-sequence id.

    temperatures: one an id, as used; log_probs: one an id, log p(id) at temperature 1, in nats.
    """

    ids: tuple[int, ...]
    temperatures: tuple[float, ...]
    log_probs: tuple[float, ...]
    finish: FinishReason


class Engine(Protocol):
    """Takes requests at any time and answers them in any order; one `advance` does one unit of work."""

    def submit(self, ticket: int, request: Generate) -> None:
        """Take a request in; `ticket` names it in the answer and is no other's until then."""

    def advance(self) -> list[tuple[int, Completion]]:
        """Work on what was taken in and return what is finished, possibly nothing yet."""

    def reset(self) -> None:
        """Forget all that came before, so that a new block of problems finds the engine as new (design.md, 7)."""
