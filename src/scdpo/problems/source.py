"""The splits of a run: which problems serve SFT, pairs, development and test. Disjoint and without duplicates."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

from scdpo.errors import ProblemError
from scdpo.problems.gsm_symbolic import gsm_symbolic, gsm_symbolic_with_code
from scdpo.problems.problem import Problem
from scdpo.problems.published import PUBLISHED, ProblemSet, read_problem
from scdpo.problems.records import Record, read_records
from scdpo.problems.settings import ProblemSettings
from scdpo.problems.stories import stories, stories_with_code

Split = Literal["sft", "pairs", "dev", "test"]
SPLITS: tuple[Split, ...] = ("sft", "pairs", "dev", "test")
GENERATORS: dict[str, Callable[[int], Iterator[tuple[Any, Problem]]]] = {
    "stories": stories,
    "stories_code": stories_with_code,
    "gsm_symbolic": gsm_symbolic,
    "gsm_symbolic_code": gsm_symbolic_with_code,
}
SHARES: dict[Split, int] = {"sft": 45, "pairs": 35, "dev": 5, "test": 15}


def make_splits(settings: ProblemSettings) -> dict[Split, list[Problem]]:
    """The problems of each purpose. Raises ProblemError where the source cannot give as many as asked."""
    given = distinct(read_source(settings.test_source)[0])[: settings.test] if settings.test_source else []
    taken = {problem.question for problem in given}
    splits = generate(settings, taken) if settings.source in GENERATORS else cut_source(settings, taken)
    return splits | ({"test": given} if given else {})


def read_source(source: str) -> tuple[list[Problem], list[Problem]]:
    """All problems of a source that is no generator, and those of them that lie in a test split.

    Raises ProblemError, with file and line, for what is no problem and for an id that comes twice.
    """
    name, published, place = locate(source)
    records = read_records(place, published)
    if not records:
        raise ProblemError(f"{source}: no problems in this file; it needs one JSON object a line (see docs/problems.md)")
    problems: list[Problem] = []
    places: dict[str, Record] = {}
    for record in records:
        problem = read_problem(name, record.fields, record.where, _fallback_id(name, record))
        if problem.id in places:
            raise ProblemError(f'{record.where}: id "{problem.id}" is already at {places[problem.id].where}; ids must differ')
        places[problem.id] = record
        problems.append(problem)
    return problems, [problem for problem, record in zip(problems, records, strict=True) if record.is_test]


def _fallback_id(name: str, record: Record) -> str:
    """An id by the record's place, for sets without ids."""
    if name == "jsonl" and not record.file:
        return f"line-{record.number}"
    return f"{name}-{record.file}-{record.number}" if record.file else f"{name}-{record.number}"


def locate(source: str) -> tuple[str, ProblemSet, str]:
    """(name of the set, the set, path or hub name) of a source; a path alone is a JSON-lines file of one's own."""
    name, colon, place = source.partition(":")
    if name in PUBLISHED and (colon or PUBLISHED[name].hub):
        return name, PUBLISHED[name], place
    return "jsonl", PUBLISHED["jsonl"], source


def prompt_template(source: str) -> str:
    """How problems of a source are asked where the recipe does not say."""
    return "{question}\n" if source in GENERATORS else locate(source)[1].template


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


def cut_source(settings: ProblemSettings, taken: Collection[str]) -> dict[Split, list[Problem]]:
    """Splits from a file, folder or data set: its problems shuffled by the seed, duplicates and the questions `taken` left out,
    then cut one after another. A test split of its own gives the test problems, where no other source does.
    """
    everything, held_out = read_source(settings.source)
    own_test = bool(held_out) and len(held_out) < len(everything)
    held_questions = {problem.question for problem in held_out} if own_test else set()
    free = [
        problem for problem in distinct(everything) if problem.question not in taken and problem.question not in held_questions
    ]
    pools: list[tuple[tuple[Split, ...], list[Problem]]] = []
    if settings.test_source:
        pools = [(("dev", "sft", "pairs"), free)]
    elif own_test:
        pools = [(("test",), distinct(held_out)), (("dev", "sft", "pairs"), free)]
    else:
        pools = [(("test", "dev", "sft", "pairs"), free)]
    splits: dict[Split, list[Problem]] = {split: [] for split in SPLITS}
    for order, problems in pools:
        random.Random(f"file:{settings.seed}").shuffle(problems)
        wanted = sum(getattr(settings, split) for split in order)
        if wanted > len(problems):
            raise ProblemError(
                f"{settings.source} has {len(problems)} different problems for {', '.join(order)} and the recipe asks for "
                f"{wanted}; lower [problems] {', '.join(order)}"
            )
        for split in order:
            count = getattr(settings, split)
            splits[split], problems = problems[:count], problems[count:]
    return splits
