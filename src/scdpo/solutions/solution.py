"""Solutions: a sequence of steps, each of them text and the token ids that spell it.

Knows no tokenizer (see codec) and no grader. Steps joined are the solution, in characters and in ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scdpo.solutions.verdict import Verdict

StepKind = Literal["text", "code", "answer"]
FinishReason = Literal["end", "length", "cut"]


@dataclass(frozen=True, slots=True)
class CodeOutput:
    """The output within a code step: ids start to stop (of the step's) were given to the model, which did not write them.

    status: how the code ended (see sandbox/output); a solution whose outputs the clock or a limit decided is not training data.
    """

    start: int
    stop: int
    status: str = "ok"

    @property
    def is_sound(self) -> bool:
        return self.status in ("ok", "error")


@dataclass(frozen=True, slots=True)
class Step:
    """One step t_i of a solution: its text with the white space that ends it, and its token ids.

    kind "answer" marks a last step that only states the final answer: nobody forks there; "code" a piece of code with its
    output.
    temperature: at which it was sampled; None for a step of a worked solution; output: of a code step that was executed.
    """

    text: str
    ids: tuple[int, ...]
    kind: StepKind = "text"
    temperature: float | None = None
    output: CodeOutput | None = None

    @property
    def written(self) -> tuple[bool, ...]:
        """For each id whether the model wrote it, rather than being given it as the output of its code."""
        given = range(0) if self.output is None else range(self.output.start, self.output.stop)
        return tuple(place not in given for place in range(len(self.ids)))

    def to_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {"text": self.text, "ids": list(self.ids)}
        if self.kind != "text":
            record["kind"] = self.kind
        if self.temperature is not None:
            record["temperature"] = self.temperature
        if self.output is not None:
            record["output"] = [self.output.start, self.output.stop, self.output.status]
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Step:
        output = CodeOutput(*record["output"]) if "output" in record else None
        return cls(record["text"], tuple(record["ids"]), record.get("kind", "text"), record.get("temperature"), output)


@dataclass(frozen=True, slots=True)
class Solution:
    """An answer a = (t_0, ..., t_m) to a question, graded.

    finish: "end" where the model closed its solution, "length" where it ran out of tokens, "cut" where what is there is only
    its beginning, as in imported pairs of single steps. The end-of-sequence id is not among the ids: rendering adds it to
    solutions that ended.
    """

    steps: tuple[Step, ...]
    verdict: Verdict
    finish: FinishReason = "end"

    @property
    def text(self) -> str:
        return "".join(step.text for step in self.steps)

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(id for step in self.steps for id in step.ids)

    @property
    def is_sound(self) -> bool:
        """Whether every code step's output came from its code, and not from the clock or a limit."""
        return all(step.output is None or step.output.is_sound for step in self.steps)

    @property
    def forks(self) -> range:
        """How many steps a continuation may keep: at least one, and never all that leads to a bare answer step.

        The paper draws k from [0, m-1] and keeps t_0..t_k (section 3.1): fork = k + 1. Where t_m only states the answer,
        keeping everything before it would leave nothing to go wrong, so it counts as part of the step before.
        """
        last = len(self.steps) - (1 if self.steps and self.steps[-1].kind == "answer" else 0)
        return range(1, last)

    def to_json(self) -> dict[str, Any]:
        return steps_to_json(self.steps, self.verdict) | {"finish": self.finish}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Solution:
        return cls(*steps_from_json(record), record["finish"])


def steps_to_json(steps: tuple[Step, ...], verdict: Verdict) -> dict[str, Any]:
    """Graded steps as plain JSON values, the part that solutions and branches share."""
    return {
        "steps": [step.to_json() for step in steps],
        "verdict": verdict.to_json(),
    }


def steps_from_json(record: Mapping[str, Any]) -> tuple[tuple[Step, ...], Verdict]:
    """The inverse of `steps_to_json`."""
    return tuple(Step.from_json(step) for step in record["steps"]), Verdict(**record["verdict"])
