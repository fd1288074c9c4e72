"""What a stage's records hold, counted and in words: the line that closes a stage, and what `scdpo status` shows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scdpo.evaluation.statistics import wilson
from scdpo.run.directory import Round


def in_words(counts: Mapping[str, int]) -> str:
    """ "12 correct, 3 wrong", without what there is none of."""
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)


def contents(block: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """What a block of any stage's records holds: solutions by verdict with their tokens, and pairs of both kinds."""
    found: Counter[str] = Counter()
    for record in block:
        solutions = record.get("samples", [record] if "verdict" in record else [])
        found += verdicts_of(solutions)
        found["tokens"] += sum(len(step["ids"]) for solution in solutions for step in solution["steps"])
        forks = [branch["fork"] for branch in (record.get("tree") or {"branches": ()})["branches"]]
        found["naive pairs"] += forks.count(0)
        found["step-controlled pairs"] += len(forks) - forks.count(0)
    return found


def verdicts_of(solutions: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """How many of the records of solutions are correct, wrong, undecided."""
    counts = Counter({"correct": 0, "wrong": 0, "undecided": 0})
    counts.update(solution["verdict"]["outcome"] for solution in solutions)
    return counts


def verdicts_in(samples: Iterable[Mapping[str, Any]]) -> str:
    """What the naive samples hold."""
    drawn = 0

    def solutions() -> Iterator[Mapping[str, Any]]:
        nonlocal drawn
        for record in samples:
            drawn += len(record["samples"])
            yield from record["samples"]

    counts = verdicts_of(solutions())
    return f"{drawn:,} samples: {in_words(counts)}" if drawn else ""


def pairs_in(trees: Iterable[Mapping[str, Any]]) -> str:
    """What the records of forking hold: the pairs of both kinds, and the trees that they are in."""
    grown, found = 0, Counter[str]()
    for record in trees:
        grown += record["tree"] is not None
        found += contents([record])
    naive, controlled = (found[f"{kind} pairs"] for kind in ("naive", "step-controlled"))
    return f"{grown:,} trees with {naive:,} naive and {controlled:,} step-controlled pairs"


def losses_of(current: Round) -> str:
    """The losses of the models that a round has trained, at the beginning and at the end."""
    found = []
    for arm in current.arms:
        if current.log(arm).is_file():
            facts = json.loads(current.log(arm).read_text(encoding="utf-8").splitlines()[-1])
            found.append(f"{arm} {facts['first_loss']:.3f} to {facts['last_loss']:.3f}")
    return "loss " + ", ".join(found) if found else ""


def accuracies_in(current: Round) -> str:
    """The right answers of the models that are evaluated, in percent, with the interval, and how many are undecided."""
    found = []
    for model in current.models:
        counts = verdicts_of(current.answers(model))
        if total := counts.total():
            share = wilson(counts["correct"], total)
            undecided = f", {counts['undecided']} undecided" if counts["undecided"] else ""
            found.append(f"{model} {100 * share.value:.1f}% [{100 * share.low:.1f}, {100 * share.high:.1f}]{undecided}")
    return "; ".join(found)
