"""Log-probs of a solution's tokens under a model, and the spans of its text that they belong to.

Knows models and tokenizers; what the numbers come to is localisation's work.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from scdpo.credit.record import Span
from scdpo.errors import ModelError
from scdpo.solutions.rendering import TreeRow, render_solution

if TYPE_CHECKING:
    from scdpo.solutions.codec import Codec
    from scdpo.solutions.solution import Solution

LogProbs = tuple[float, ...]


def credit_row(name: str, question: str, solution: Solution, codec: Codec) -> TreeRow:
    """A solution after its prompt, as the row that is scored: the tokens that the model wrote count, and its end."""
    return render_solution(name, solution, codec.prompt(question), codec.end_id)


def token_scores(
    model: Any, rows: Sequence[TreeRow], token_budget: int, report: Callable[[int, int], None] = lambda done, total: None
) -> list[LogProbs]:
    """log p(token | what goes before) of each row's counted tokens, in nats, under the whole model, with its adapters if any.

    token_budget: padded tokens of a micro-batch, which changes rounding only. Raises ModelError for values that are no numbers.
    """
    import torch

    from scdpo.training.adapters import without_dropout
    from scdpo.training.collator import Item, collate_trunks
    from scdpo.training.layouts import computed
    from scdpo.training.plan import split

    without_dropout(model)
    items = [Item(row) for row in rows]
    places = {id(item): place for place, item in enumerate(items)}
    found: dict[int, LogProbs] = {}
    with torch.no_grad():
        for part in split(items, token_budget):
            log_probs = computed(model, collate_trunks(part))
            if not log_probs.isfinite().all():
                raise ModelError("a model gives log-probs that are not numbers: its training has diverged; train it again")
            values = iter(log_probs.tolist())
            for item in part:
                found[places[id(item)]] = tuple(next(values) for _ in item.row.trunk)
            report(len(found), len(items))
    return [found[place] for place in range(len(items))]


def rewards(policy: LogProbs, reference: LogProbs, beta: float) -> LogProbs:
    """r = beta log pi(x_i | s_i) - beta log pi_ref(x_i | s_i) of each token (Eq. 7), in nats."""
    return tuple(beta * (own - other) for own, other in zip(policy, reference, strict=True))


def token_spans(codec: Codec, ids: Sequence[int]) -> list[Span]:
    """The characters that each token spells. Tokens that split a character all have the span of what they spell together."""
    starts = codec.spell(ids).starts
    known = [place for place, start in enumerate(starts) if start is not None]
    spans = []
    for place in range(len(ids)):
        at = bisect_right(known, place) - 1
        first = starts[known[at]] if at >= 0 else 0
        spans.append((first or 0, starts[known[at + 1]] or 0))
    return spans


def step_spans(solution: Solution) -> tuple[Span, ...]:
    """The characters of each step."""
    return spans_of(len(step.text) for step in solution.steps)


def spans_of(lengths: Iterable[int]) -> tuple[Span, ...]:
    """The spans of parts of these lengths that stand one after the other."""
    return tuple(pairwise(accumulate(lengths, initial=0)))


def spread(solution: Solution, scores: Mapping[str, LogProbs]) -> dict[str, tuple[float | None, ...]]:
    """The scores of the counted tokens, over all tokens of the solution and its end: None for those that it was given.

    Raises ValueError where there are more or fewer scores than tokens that the model wrote.
    """
    written = [flag for step in solution.steps for flag in step.written]
    written += [True] * (solution.finish == "end")
    columns = {}
    for name, values in scores.items():
        if len(values) != sum(written):
            raise ValueError(f"{len(values)} values of {name} for {sum(written)} tokens")
        rest = iter(values)
        columns[name] = tuple(next(rest) if own else None for own in written)
    return columns
