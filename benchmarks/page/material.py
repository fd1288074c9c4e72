"""A made run for the page: as many trees and credited solutions as asked for, of stories. The same for the same numbers."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

from scdpo.credit.record import CreditedSolution
from scdpo.credit.scoring import spans_of
from scdpo.evaluation.errors import ErrorBreakdown
from scdpo.evaluation.statistics import paired_difference, wilson
from scdpo.problems.problem import Problem
from scdpo.problems.stories import stories
from scdpo.report.result import DIFFERENCES, LABELS, Result, TreeView

EVALUATED = 500
RIGHT_OF_TEN = {"sft": 6, "rft": 6, "dpo": 7, "dpo-data-equal": 7, "scdpo": 8}
TOKEN = re.compile(r"\s?\w+|\s?[^\w\s]|\s+")


def made_result(trees: int, credited: int = 40) -> Result:
    """A whole result: its trees and credited solutions made, its other figures small and plausible."""
    right = {name: [n % 10 < tens for n in range(EVALUATED)] for name, tens in RIGHT_OF_TEN.items()}
    told = [problem for _, problem in islice(stories(11), max(trees, credited))]
    pairs = {"naive": trees, "step_controlled": 2 * trees, "total": 3 * trees}
    return Result(
        name=f"made of {trees} trees",
        split="test",
        accuracy={name: wilson(sum(outcomes), EVALUATED) for name, outcomes in right.items()},
        differences={f"{b} - {a}": paired_difference(right[a], right[b]) for a, b in DIFFERENCES},
        errors={name: ErrorBreakdown(100, {1: 70, 2: 30}, {"wrong arithmetic": 100}, {}) for name in LABELS},
        pairs=dict.fromkeys(("dpo", "dpo-data-equal", "scdpo"), pairs) | {"rft": {"chosen_solutions": trees}},
        sampling={
            "problems": trees,
            "samples": 4 * trees,
            "by_outcome": {"correct": 3 * trees, "wrong": trees},
            "undecided_by_reason": {},
            "problems_with": {"both": trees},
            "accuracy": 0.75,
        },
        forking={
            "forks_tried": 2 * trees,
            "forks_gone_wrong": 2 * trees,
            "continuations": 6 * trees,
            "unused_by_reason": {"correct": 4 * trees},
            "by_fork": {1: trees, 2: trees},
            "attempts": {3: 2 * trees},
            "first_wrong_step_relative_to_fork": {"at": 2 * trees},
            "trunks_with_a_wrong_step": {"count": 0, "of": trees},
            "further_samples": trees,
        },
        stage_seconds={"sft": 60.0, "sample": 40.0, "fork": 30.0, "train": 50.0},
        recipe={"problems": {"sft": 1000}},
        manifest={"packages": {}},
        training={key: [{"step": n, "loss": 2.0 / (1 + n)} for n in range(1, 40)] for key in ("sft", "dpo", "scdpo")},
        trees=[made_tree(number, problem) for number, problem in enumerate(told[:trees])],
        credited=[made_credit(number, problem) for number, problem in enumerate(told[:credited])],
    )


def made_steps(problem: Problem) -> list[str]:
    """A worked solution at the length of GSM8K's: a sentence and its equation in each step, the answer in the last."""
    sentences = re.findall(r"[^.?]+[.?]\s*", problem.question)
    *lines, answer = (problem.solution or "").splitlines()
    return [f"{sentences[n % len(sentences)].strip()} So {line}\n" for n, line in enumerate(lines)] + [answer]


def gone_wrong(steps: Sequence[str], place: int) -> list[str]:
    """The steps with another last number from the step at `place` on."""
    shifted = [re.sub(r"\d+(?=\n?$)", lambda found: str(int(found[0]) + place + 1), step) for step in steps[place:]]
    return [*steps[:place], *shifted]


def made_tree(number: int, problem: Problem) -> TreeView:
    """A trunk with a naive branch and two step-controlled ones, the first of them wrong a step after its fork."""
    steps = made_steps(problem)
    branches = []
    for fork, late in ((0, 0), (1, 1), (2, 0)):
        own = gone_wrong(steps, fork + late)[fork:]
        views = [step_view(text, min(1.4, 1.1 + 0.05 * place) if fork else 1.0) for place, text in enumerate(own)]
        answer = own[-1].removeprefix("#### ")
        branches.append({"fork": fork, "answer": answer, "steps": views, "wrong": fork + late, "kind": "wrong arithmetic"})
    return TreeView(
        problem=f"made-{number:05}",
        question=problem.question,
        answer=problem.answer,
        trunk=[step_view(text, 1.0) for text in steps],
        branches=branches,
        tries=[{"fork": 3, "attempts": 8, "found": False}],
    )


def step_view(text: str, temperature: float) -> dict[str, Any]:
    return {"pieces": [{"kind": "text", "text": text}], "temperature": temperature}


def made_credit(number: int, problem: Problem) -> CreditedSolution:
    """A wrong solution whose wrong numbers cost SCDPO's model most, DPO's less, and the others by chance."""
    draw = random.Random(f"credit:{number}")
    right = made_steps(problem)
    wrong = draw.randrange(len(right) - 1)
    texts = gone_wrong(right, wrong)
    pieces = [(place, found.group()) for place, text in enumerate(texts) for found in TOKEN.finditer(text)]
    spans = spans_of(len(piece) for _, piece in pieces)

    def rewards(blame: float) -> tuple[float, ...]:
        guilty = [place == wrong and piece.strip().isdigit() for place, piece in pieces]
        return (*(draw.gauss(0.02, 0.06) - (blame if each else 0) for each in guilty), draw.gauss(0, 0.03))

    return CreditedSolution(
        name=f"made-{number:05}",
        question=problem.question,
        text="".join(texts),
        steps=spans_of(map(len, texts)),
        ids=(*(sum(map(ord, piece)) % 1000 for _, piece in pieces), 2),
        spans=(*spans, (spans[-1][1], spans[-1][1])),
        step_of=(*(place for place, _ in pieces), len(texts) - 1),
        values={
            "sft-log-prob": tuple(-draw.expovariate(4) for _ in range(len(pieces) + 1)),
            "rft": rewards(0.0),
            "dpo": rewards(0.1),
            "dpo-data-equal": rewards(0.1),
            "scdpo": rewards(0.4),
        },
        wrong=wrong,
        kind="wrong arithmetic" if number % 3 else "wrong quantity",
        answer=problem.answer,
        stated=texts[-1].removeprefix("#### "),
        right=False,
    )
