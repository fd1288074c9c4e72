"""An engine that answers from a function: rollouts and policies run on it without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scdpo.engines.interface import Completion, Generate


class ScriptedEngine:
    """Answers each request with the ids that `script(request)` gives; keeps the requests for inspection.

    Ids after the first place where the request's stop holds are cut, and the completion finishes by "stop"; ids beyond its
    max_new_tokens are cut too, and it finishes by "length".
    """

    def __init__(self, script: Callable[[Generate], Sequence[int]]) -> None:
        self.script = script
        self.requests: list[Generate] = []
        self.waiting: list[tuple[int, Generate]] = []

    def submit(self, ticket: int, request: Generate) -> None:
        self.requests.append(request)
        self.waiting.append((ticket, request))

    def cancel(self, ticket: int) -> None:
        self.waiting = [waiting for waiting in self.waiting if waiting[0] != ticket]

    def advance(self) -> list[tuple[int, Completion]]:
        done, self.waiting = self.waiting, []
        return [(ticket, self._answer(request)) for ticket, request in done]

    def reset(self) -> None:
        self.waiting = []

    def _answer(self, request: Generate) -> Completion:
        ids = tuple(self.script(request))
        stops = request.stop or (lambda ids: False)
        stopped = next((place for place in range(1, len(ids) + 1) if stops(ids[:place])), None)
        ids = ids[:stopped]
        kept = ids[: request.max_new_tokens]
        return Completion(
            ids=kept,
            temperatures=(request.temperature.at(0),) * len(kept),
            log_probs=(0.0,) * len(kept),
            finish="length" if len(ids) > request.max_new_tokens else "end" if stopped is None else "stop",
        )
