"""Solutions that are given to be scored: from records of a file, in whichever of the known forms each of them is.

Knows records and the codec; knows no file (see problems/records) and no model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from scdpo.credit.record import CreditedSolution, Span
from scdpo.credit.scoring import LogProbs, credit_row, spans_of
from scdpo.credit.solutions import credited_solution
from scdpo.errors import ModelError, ProblemError
from scdpo.grading.grade import grade
from scdpo.problems.jsonl import SOLUTION_FIELDS, as_text
from scdpo.problems.problem import Problem
from scdpo.solutions.rendering import TreeRow
from scdpo.solutions.solution import Solution
from scdpo.solutions.verdict import Verdict

if TYPE_CHECKING:
    from scdpo.solutions.codec import Codec

QUESTIONS = ("question", "problem", "prompt")


@dataclass(frozen=True, slots=True)
class GivenSolution:
    """A solution to score. steps: where its steps lie, None where they are its own; label: the first wrong step by the file, -1
    for none, None where it does not say."""

    name: str
    problem: Problem
    solution: Solution
    steps: tuple[Span, ...] | None = None
    label: int | None = None

    def row(self, codec: Codec) -> TreeRow:
        return credit_row(self.name, self.problem.question, self.solution, codec)

    def credited(self, codec: Codec, scores: Mapping[str, LogProbs]) -> CreditedSolution:
        found = credited_solution(self.name, self.problem, self.solution, codec, scores, self.steps)
        return found if self.label is None else replace(found, wrong=self.label, kind=None)


def read_given(
    record: Mapping[str, Any], where: str, find: Callable[[str], Problem | None], codec: Codec, between: str
) -> Iterator[GivenSolution]:
    """The solutions of a record: a line of a run's samples or answers (ids as they are), ProcessBench's form (steps and label),
    or a question with a solution's text.

    find: a problem of the run by its id or question; between: what stands after each step but the last, where steps are given
    one by one and do not end in a line end. Raises ProblemError for a record of no known form, ModelError for a text that the
    tokenizer cannot spell.
    """
    asked = next((text for name in QUESTIONS if (text := as_text(record.get(name)))), "")
    steps, samples = record.get("steps"), record.get("samples")
    known = find(asked) if asked else None
    if isinstance(samples, list) or "verdict" in record:
        if known is None:
            raise ProblemError(f'{where}: a record of a run whose problem "{asked}" is not one of this run\'s; name that run')
        for number, each in enumerate(samples if isinstance(samples, list) else [record]):
            name = f"{known.id}/{number}" if isinstance(samples, list) else known.id
            yield GivenSolution(name, known, Solution.from_json(each))
        return
    text, spans = _text_of(record, steps, between)
    if not asked or not text.strip():
        missing = "question" if not asked else "solution"
        raise ProblemError(f'{where}: no "{missing}"; give "question" and "solution", or ProcessBench\'s "problem" and "steps"')
    problem = known or Problem(as_text(record.get("id")) or where, asked, as_text(record.get("answer")))
    said = codec.code.prose(text) if codec.code else text
    verdict = grade(said, problem.answer, full_text=True) if problem.answer else Verdict("undecided")
    solution = Solution(codec.read(text), verdict)
    if spans is not None and solution.text != text:
        raise ModelError("steps that are read as another text, so that their places are lost")
    yield GivenSolution(as_text(record.get("id")) or where, problem, solution, spans, _label(record, spans, where))


def _text_of(record: Mapping[str, Any], steps: Any, between: str) -> tuple[str, tuple[Span, ...] | None]:
    """The solution's text, and where its steps lie if the record cuts it."""
    if isinstance(steps, list) and all(isinstance(step, str) for step in steps):
        parts = [*(step if step.endswith("\n") else step + between for step in steps[:-1]), *steps[-1:]]
        return "".join(parts), spans_of(map(len, parts))
    return next((text for name in SOLUTION_FIELDS if (text := as_text(record.get(name)))), ""), None


def _label(record: Mapping[str, Any], spans: tuple[Span, ...] | None, where: str) -> int | None:
    label = record.get("label")
    if spans is None or label is None:
        return None
    if type(label) is not int or not -1 <= label < len(spans):
        raise ProblemError(f'{where}: "label" is {label!r}, not the place of a step from 0 to {len(spans) - 1}, or -1 for none')
    return label
