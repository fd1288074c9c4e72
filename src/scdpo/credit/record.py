"""Credited solutions: what a model, against its reference, holds each token of a solution responsible for.

Knows characters and numbers; knows no model and no tokenizer (see scoring).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SFT_LOG_PROB = "sft-log-prob"
"""The score that is the SFT model's own log-prob, and no reward."""
COMPARED = (
    (SFT_LOG_PROB, "rft"),
    (SFT_LOG_PROB, "dpo"),
    (SFT_LOG_PROB, "dpo-data-equal"),
    (SFT_LOG_PROB, "scdpo"),
    ("rft", "scdpo"),
    ("dpo", "scdpo"),
    ("dpo-data-equal", "scdpo"),
)
"""(first, second) of the differences that are told; accuracies are compared alike, the SFT model in its place."""
Span = tuple[int, int]
"""(start, stop): characters of the solution's text."""


@dataclass(frozen=True, slots=True)
class CreditedSolution:
    """A solution of n tokens with one value for each of them under every score.

    text: the solution; steps: the span of each step, joined the text; ids: [n] token ids; spans: [n], the characters that each
    token spells: tokens that share a character (byte-level ones) all have that character's span, the end-of-sequence token
    has none, (len(text), len(text)); step_of: [n], the step that each token belongs to; values: score -> [n] in nats, None at
    tokens that the model was given and did not write (the outputs of code). A score is "sft-log-prob", log pi_SFT(token), or a
    model's name, for r = beta log(pi / pi_ref) (Eq. 7). wrong: the first wrong step, -1 where every step is right, None where
    nobody knows; kind: what is wrong with it; stated: the answer that the solution gives; right: whether it is right, None
    where nobody knows.
    """

    name: str
    question: str
    text: str
    steps: tuple[Span, ...]
    ids: tuple[int, ...]
    spans: tuple[Span, ...]
    step_of: tuple[int, ...]
    values: Mapping[str, tuple[float | None, ...]]
    wrong: int | None = None
    kind: str | None = None
    answer: str | None = None
    stated: str | None = None
    right: bool | None = None

    @property
    def error_step(self) -> int | None:
        """The first wrong step where it is known and one of the steps (a missing last step has no tokens)."""
        return self.wrong if self.wrong is not None and 0 <= self.wrong < len(self.steps) else None

    def by_step(self, score: str) -> list[list[float]]:
        """The values of each step's tokens, without those that it was given. The end-of-sequence token is of no step."""
        steps: list[list[float]] = [[] for _ in self.steps]
        for span, step, value in zip(self.spans, self.step_of, self.values[score], strict=True):
            if value is not None and span[0] < len(self.text):
                steps[step].append(value)
        return steps

    def step_sums(self, score: str) -> list[float | None]:
        """The score of each step, the sum over its tokens in nats: with a reward, beta log(pi / pi_ref) of the step. None for a
        step without a token that the model wrote."""
        return [sum(values) if values else None for values in self.by_step(score)]

    def lowest_step(self, score: str) -> int | None:
        """The step with the lowest sum, the earlier one where two share it; None where the model wrote no step."""
        sums = [(value, step) for step, value in enumerate(self.step_sums(score)) if value is not None]
        return min(sums)[1] if sums else None

    def to_json(self) -> dict[str, Any]:
        """The record of docs/credit.md."""
        sums = {score: self.step_sums(score) for score in self.values}
        return {
            "id": self.name,
            "question": self.question,
            "answer": self.answer,
            "stated": self.stated,
            "right": self.right,
            "wrong": self.wrong,
            "kind": self.kind,
            "text": self.text,
            "steps": [
                {"start": start, "stop": stop, "sums": {score: _short(each[place]) for score, each in sums.items()}}
                for place, (start, stop) in enumerate(self.steps)
            ],
            "tokens": {
                "ids": list(self.ids),
                "spans": [list(span) for span in self.spans],
                "steps": list(self.step_of),
                "values": {score: [_short(value) for value in values] for score, values in self.values.items()},
            },
        }


def _short(value: float | None) -> float | None:
    """A figure with the digits that mean something in float32."""
    return None if value is None else round(value, 6)
