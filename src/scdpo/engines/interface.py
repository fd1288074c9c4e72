"""What is asked of an engine and what it answers: token ids in, token ids out.

Knows no model, no text and no problem. Engines: transformers_engine, vllm_engine, server_engine, scripted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from scdpo.engines.temperature import TemperatureRamp
from scdpo.errors import ModelError
from scdpo.solutions.solution import FinishReason


@dataclass(frozen=True, slots=True)
class Generate:
    """Continue `ids` until the end of sequence, until `stop`, or for at most `max_new_tokens`.

    temperature: by generated step (see TemperatureRamp); 0 is greedy. top_p: draw from the likeliest tokens that together have
    this probability, at the request's temperature. seed: fixes every draw of this request, whatever runs
    beside it. step: steps generated before this request, for the ramp. stop: asked with the ids generated so far, where the
    last of them is one of the engine's stop ids.
    """

    ids: tuple[int, ...]
    temperature: TemperatureRamp
    max_new_tokens: int
    seed: int = 0
    step: int = 0
    stop: Callable[[Sequence[int]], bool] | None = None
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class Completion:
    """The ids that followed, without the end-of-sequence id; with the id at which `stop` held.

    temperatures: one an id, as used; log_probs: one an id, log p(id) at temperature 1, in nats; finish: "stop" where the
    request's `stop` held.
    """

    ids: tuple[int, ...]
    temperatures: tuple[float, ...]
    log_probs: tuple[float, ...]
    finish: FinishReason | Literal["stop"]


def refuse_unfit(request: Generate, capacity: int) -> None:
    """Refuse a request that an engine for `capacity` tokens, prompt included, cannot answer. Raises ModelError."""
    if not request.ids:
        raise ModelError("an empty prompt cannot be continued; the prompt template must give at least one token")
    if len(request.ids) + request.max_new_tokens > capacity:
        raise ModelError(
            f"a prompt of {len(request.ids)} tokens and {request.max_new_tokens} new ones exceed the engine's "
            f"{capacity}; lower max_new_tokens or raise model.context"
        )


class Engine(Protocol):
    """Takes requests at any time and answers them in any order; one `advance` does one unit of work."""

    def submit(self, ticket: int, request: Generate) -> None:
        """Take a request in; `ticket` names it in the answer and is no other's until then."""

    def cancel(self, ticket: int) -> None:
        """Forget a request that was taken in: nobody waits for its answer any more."""

    def advance(self) -> list[tuple[int, Completion]]:
        """Work on what was taken in and return what is finished, possibly nothing yet."""

    def reset(self) -> None:
        """Forget all that came before, so that a new block of problems finds the engine as new."""
