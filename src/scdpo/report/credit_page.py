"""Credited solutions to look at: the section of the report and a page of its own. Drawn by credit.js from the record's JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scdpo.credit.record import SFT_LOG_PROB, CreditedSolution
from scdpo.report.document import Section, document, how_many, json_block, packed_block, render
from scdpo.report.result import label

ORDER = ("scdpo", "dpo", "dpo-data-equal", "rft", SFT_LOG_PROB)
"""The columns from left to right: SCDPO left of DPO, as in the paper's Fig. 2."""
FIRST_SHOWN = 2


def credit_page(title: str, credited: Sequence[CreditedSolution]) -> str:
    """A page of its own: what `scdpo credit` writes."""
    return document(title, f"{len(credited):,} solution{'' if len(credited) == 1 else 's'}.", [credit_section(credited)])


def credit_section(credited: Sequence[CreditedSolution], more: int = 0) -> Section:
    """The section of these solutions. more: how many others there are."""
    scores = ordered({score for solution in credited for score in solution.values})
    index = {
        "scores": [score_entry(score, place < FIRST_SHOWN) for place, score in enumerate(scores)],
        "solutions": [index_entry(solution) for solution in credited],
    }
    kinds = sorted({kind_of(solution) for solution in credited})
    return Section(
        id="tokens",
        title="Credit by token",
        body=render("credit.html", count=how_many(len(credited), more), kinds=kinds),
        styles=("credit.css",),
        scripts=("units.js", "credit.js"),
        data=json_block("credit-index", index) + packed_block("credit-bodies", (solution.to_json() for solution in credited)),
    )


def ordered(scores: set[str]) -> list[str]:
    """Scores in the order of their columns, a model's later rounds after its first."""

    def key(score: str) -> tuple[int, str]:
        model = score.partition(".")[0]
        return (ORDER.index(model) if model in ORDER else len(ORDER), score)

    return sorted(scores, key=key)


def score_entry(score: str, chosen: bool) -> dict[str, Any]:
    """What the viewer needs to know of a score. scale: around zero for rewards, from zero down for log-probs."""
    scale = "log-prob" if score == SFT_LOG_PROB else "reward"
    return {"name": score, "label": label(score), "scale": scale, "chosen": chosen}


def index_entry(solution: CreditedSolution) -> dict[str, Any]:
    """What the viewer needs of a solution to list and filter it. lowest: score -> the step with the lowest sum."""
    return {
        "id": solution.name,
        "kind": kind_of(solution),
        "lowest": {score: solution.lowest_step(score) for score in solution.values},
    }


def kind_of(solution: CreditedSolution) -> str:
    """What is wrong with a solution, in the words of the viewer's list."""
    if solution.wrong is None:
        return "first wrong step unknown"
    return "no wrong step" if solution.wrong < 0 else solution.kind or "wrong"
