"""The splits of a run: which problems serve SFT, pairs, development and test. Disjoint and without duplicates."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from scdpo.errors import ProblemError
from scdpo.problems.gsm_symbolic import gsm_symbolic
from scdpo.problems.jsonl import read_problems
from scdpo.problems.problem import Problem
from scdpo.problems.settings import ProblemSettings
from scdpo.problems.stories import stories

Split = Literal["sft", "pairs", "dev", "test"]
SPLITS: tuple[Split, ...] = ("sft", "pairs", "dev", "test")
GENERATORS: dict[str, Callable[[int], Iterator[tuple[Any, Problem]]]] = {
    "stories": stories,
    "gsm_symbolic": gsm_symbolic,
}
SHARES: dict[Split, int] = {"sft": 45, "pairs": 35, "dev": 5, "test": 15}


def make_splits(settings: ProblemSettings) -> dict[Split, list[Problem]]:
    """The problems of each purpose. Raises ProblemError where the source cannot give as many as asked."""
    given = distinct(read_problems(settings.test_file))[: settings.test] if settings.test_file else []
    taken = {problem.question for problem in given}
    splits = generate(settings, taken) if settings.source in GENERATORS else cut_file(settings, taken)
    return splits | ({"test": given} if given else {})


def distinct(problems: Sequence[Problem]) -> list[Problem]:
    """The problems without those whose question came before."""
    first: dict[str, Problem] = {}
    for problem in problems:
        first.setdefault(problem.question, problem)
    return list(first.values())


def generate(settings: ProblemSettings, taken: Collection[str]) -> dict[Split, list[Problem]]:
    """Splits from a generator, without the questions `taken`: a problem's signature decides its split, so no split depends on
    another's size.
    """
    splits: dict[Split, list[Problem]] = {split: [] for split in SPLITS}
    wanted: dict[Split, int] = {split: getattr(settings, split) for split in SPLITS}
    seen = set()
    for signature, problem in GENERATORS[settings.source](settings.seed):
        if all(len(splits[split]) >= wanted[split] for split in SPLITS):
            return splits
        split = split_of(signature)
        if signature in seen or problem.question in taken or len(splits[split]) >= wanted[split]:
            continue
        seen.add(signature)
        splits[split].append(replace(problem, id=f"{settings.source}-{split}-{len(splits[split]):05d}"))
    short = ", ".join(f"{len(splits[split])} of {wanted[split]} for {split}" for split in SPLITS)
    raise ProblemError(f"{settings.source} has too few different problems ({short}); lower [problems] sft, pairs, dev or test")


def split_of(signature: Any) -> Split:
    """The split that a problem belongs to, by a hash of its signature."""
    place = int.from_bytes(hashlib.sha256(repr(signature).encode()).digest()[:4], "big") % sum(SHARES.values())
    for split, share in SHARES.items():
        if place < share:
            return split
        place -= share
    raise AssertionError("the shares cover every place")


def cut_file(settings: ProblemSettings, taken: Collection[str]) -> dict[Split, list[Problem]]:
    """Splits from a file: its problems shuffled by the seed, duplicates and the questions `taken` left out, then cut one after
    another.
    """
    problems = [problem for problem in distinct(read_problems(settings.source)) if problem.question not in taken]
    random.Random(f"file:{settings.seed}").shuffle(problems)
    order: tuple[Split, ...] = ("dev", "sft", "pairs") if settings.test_file else ("test", "dev", "sft", "pairs")
    wanted = sum(getattr(settings, split) for split in order)
    if wanted > len(problems):
        raise ProblemError(
            f"{settings.source} has {len(problems)} different problems and the recipe asks for {wanted}; "
            f"lower [problems] {', '.join(order)}"
        )
    splits: dict[Split, list[Problem]] = {split: [] for split in SPLITS}
    for split in order:
        count = getattr(settings, split)
        splits[split], problems = problems[:count], problems[count:]
    return splits
