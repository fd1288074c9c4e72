"""From sampled solutions and their log-probs to credited ones: rewards, spans, and what the step oracle says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scdpo.credit.record import SFT_LOG_PROB, CreditedSolution, Span
from scdpo.credit.scoring import LogProbs, rewards, spread, step_spans, token_spans
from scdpo.problems.problem import Problem
from scdpo.problems.step_oracle import first_error
from scdpo.sampling.policies import ProblemSamples
from scdpo.solutions.solution import Solution

if TYPE_CHECKING:
    from scdpo.solutions.codec import Codec


def wrong_solutions(record: ProblemSamples) -> dict[int, Solution]:
    """The samples that are credited, by their number: those that ended in a wrong answer."""
    return {number: sample for number, sample in enumerate(record.samples) if sample.verdict.is_wrong}


def scores_of(log_probs: Mapping[str, LogProbs], references: Mapping[str, str], beta: float) -> dict[str, LogProbs]:
    """The SFT model's own log-prob, where it is there, and the reward of each model against its reference (Eq. 7).

    log_probs: by model; references: model -> the model that is its reference.
    """
    own = {SFT_LOG_PROB: log_probs["sft"]} if "sft" in log_probs else {}
    return own | {model: rewards(log_probs[model], log_probs[other], beta) for model, other in references.items()}


def credited_solution(
    name: str,
    problem: Problem,
    solution: Solution,
    codec: Codec,
    scores: Mapping[str, LogProbs],
    steps: tuple[Span, ...] | None = None,
) -> CreditedSolution:
    """A solution with its scores. steps: where the steps lie, for those that somebody else has cut.

    The first wrong step is the oracle's, for problems with facts.
    """
    ids, text = solution.ids, solution.text
    spans, places = token_spans(codec, ids), steps or step_spans(solution)
    if solution.finish == "end":
        ids, spans = (*ids, codec.end_id), [*spans, (len(text), len(text))]
    error = None
    if problem.facts is not None:
        error = first_error(problem, [text[start:stop] for start, stop in places])
    is_known = problem.facts is not None
    return CreditedSolution(
        name=name,
        question=problem.question,
        text=text,
        steps=places,
        ids=ids,
        spans=tuple(spans),
        step_of=tuple(_step_at(places, start) for start, _ in spans),
        values=spread(solution, scores),
        wrong=error.step if error is not None else -1 if is_known else None,
        kind=error.kind if error is not None else None,
        answer=problem.answer or None,
        stated=solution.verdict.extracted,
        right=None if solution.verdict.outcome == "undecided" else solution.verdict.is_correct,
    )


def _step_at(steps: tuple[Span, ...], character: int) -> int:
    """The step that a token beginning at `character` belongs to."""
    return max((place for place, (start, _) in enumerate(steps) if start <= character), default=0)
