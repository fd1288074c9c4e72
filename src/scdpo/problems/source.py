"""The splits of a run: which problems serve SFT, pairs, development and test. Disjoint and without duplicates."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from scdpo.errors import ProblemError
from scdpo.hub import HubName
from scdpo.problems.gsm_symbolic import gsm_symbolic, gsm_symbolic_with_code
from scdpo.problems.problem import NO_ANSWER, Problem
from scdpo.problems.published import PUBLISHED, ProblemSet, read_problem
from scdpo.problems.records import Record, hub_name, read_records
from scdpo.problems.settings import Count, ProblemSettings, Sources, each_source
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
    """The problems of each purpose. Raises ProblemError where the sources cannot give as many as asked."""
    return make_counted_splits(settings)[0]


def make_counted_splits(settings: ProblemSettings) -> tuple[dict[Split, list[Problem]], int]:
    """The same, with how many worked solutions of sft_source are left out because their questions are evaluated."""
    own, given = each_source(settings.source), each_source(settings.test_source)
    tests = in_turn([limit(distinct(held_out or read), settings.test) for read, held_out in read_sources(given)])
    taken = {problem.question for problem in tests}
    generator = next((source for source in own if source in GENERATORS), None)
    if generator and len(own) > 1:
        raise ProblemError(f'{generator} is generated and cannot be drawn together with others; name it alone in "source"')
    splits = generate(settings, generator, taken) if generator else cut_sources(settings, own, taken)
    splits |= {"test": tests} if given else {}
    refuse_unanswered([problem for split in ("pairs", "dev", "test") for problem in splits[split]])
    left_out = 0
    if each_source(settings.sft_source):
        evaluated = {problem.question for problem in (*splits["test"], *splits["dev"])}
        splits["sft"], left_out = worked_solutions(settings, evaluated)
    return splits, left_out


def own_test(everything: Sequence[Problem], held_out: Sequence[Problem]) -> list[Problem]:
    """The test split that a source has beside other problems; a source that is nothing else has none beside them."""
    return list(held_out) if len(held_out) < len(everything) else []


def refuse_unanswered(problems: Sequence[Problem]) -> None:
    """Raises ProblemError where a problem that solutions are graded by has no gold answer: all of them would be wrong."""
    unanswered = next((problem for problem in problems if problem.answer == NO_ANSWER), None)
    if unanswered is not None:
        raise ProblemError(
            f"problem {unanswered.id} has no gold answer to grade by; pairs, dev and test need one, and worked solutions "
            "without one belong in sft_source (see docs/problems.md)"
        )


def worked_solutions(settings: ProblemSettings, evaluated: Collection[str]) -> tuple[list[Problem], int]:
    """The problems of sft_source, shuffled by the seed, without those of a test split and without the questions `evaluated`;
    and how many these questions are. They may be pair problems as well, as in the paper: pairs are not worked solutions.
    """
    everything: list[Problem] = []
    for read, held_out in read_sources(each_source(settings.sft_source)):
        held_ids = {problem.id for problem in own_test(read, held_out)}
        everything += [problem for problem in read if problem.id not in held_ids]
    free = [problem for problem in everything if problem.question not in evaluated]
    random.Random(f"file:{settings.seed}").shuffle(free)
    if settings.sft != "all" and settings.sft > len(free):
        raise ProblemError(
            f'sft_source has {len(free)} problems and the recipe asks for {settings.sft}; lower sft, or set "all"'
        )
    return limit(free, settings.sft), len(everything) - len(free)


def limit(problems: Sequence[Problem], count: Count) -> list[Problem]:
    """The first `count` of the problems, or all of them."""
    return list(problems if count == "all" else problems[:count])


def in_turn(sets: Sequence[Sequence[Problem]]) -> list[Problem]:
    """The problems of several sets, one of each in turn, so that any first part holds all of the sets."""
    return [problem for row in zip_longest(*sets) for problem in row if problem is not None]


def read_sources(sources: Sequence[str]) -> list[tuple[list[Problem], list[Problem]]]:
    """What `read_source` gives for each; of several, the problems say their set, and their ids begin with it."""
    labels = set_labels(sources)
    read = [read_source(source) for source in sources]
    if len(sources) < 2:
        return read
    named: list[tuple[list[Problem], list[Problem]]] = []
    for label, (problems, held_out) in zip(labels, read, strict=True):
        renamed = {each.id: replace(each, id=f"{label}/{each.id}", set=label) for each in problems}
        named.append((list(renamed.values()), [renamed[each.id] for each in held_out]))
    return named


def set_labels(sources: Sequence[str]) -> list[str]:
    """What several sources are called, each by a name of its own."""
    names = [set_name(source) for source in sources]
    twice = {name for name in names if names.count(name) > 1}
    return [f"{name}-{place}" if name in twice else name for place, name in enumerate(names, start=1)]


def set_name(source: str) -> str:
    """What a source is called among several: the published set, or the file's name without its ending."""
    name, published, place = locate(source)
    if name not in ("jsonl", "messages") or not place:
        return name
    asked = hub_name(place, published)
    return asked.name.rpartition("/")[2] if asked else Path(place).stem


def read_source(source: str) -> tuple[list[Problem], list[Problem]]:
    """All problems of a source that is not a generator, and those of them that lie in a test split.

    Raises ProblemError, with file and line, for what is not a problem and for an id that comes twice.
    """
    problems, held_out = [], []
    for record, problem in read_each(source):
        if isinstance(problem, ProblemError):
            raise problem
        problems.append(problem)
        if record.is_test:
            held_out.append(problem)
    return problems, held_out


def read_each(source: str) -> Iterator[tuple[Record, Problem | ProblemError]]:
    """Each record of a source that is not a generator, as a problem, or with what is wrong with it, by file and line.

    Raises ProblemError for a source that cannot be read at all.
    """
    name, published, place = locate(source)
    records = read_records(place, published)
    if not records:
        raise ProblemError(f"{source}: no problems in this file; it needs one JSON object a line (see docs/problems.md)")
    places: dict[str, Record] = {}
    for record in records:
        try:
            problem = read_problem(name, record.fields, record.where, _fallback_id(name, record))
        except ProblemError as error:
            yield record, error
            continue
        if problem.id in places:
            first = places[problem.id].where
            yield record, ProblemError(f'{record.where}: id "{problem.id}" is already at {first}; ids must differ')
            continue
        places[problem.id] = record
        yield record, problem


def _fallback_id(name: str, record: Record) -> str:
    """An id by the record's place, for sets without ids."""
    if name == "jsonl" and not record.file:
        return f"line-{record.number}"
    return f"{name}-{record.file}-{record.number}" if record.file else f"{name}-{record.number}"


def locate(source: str) -> tuple[str, ProblemSet, str]:
    """(name of the set, the set, path or hub name) of a source; a path alone is a JSON-lines file of one's own. SET@REVISION is
    the set at a revision of its own place on the hub.
    """
    name, colon, place = source.partition(":")
    if name in PUBLISHED and (colon or PUBLISHED[name].hub):
        return name, PUBLISHED[name], place
    name, at, revision = source.partition("@")
    if at and name in PUBLISHED and PUBLISHED[name].hub:
        return name, PUBLISHED[name], f"@{revision}"
    return "jsonl", PUBLISHED["jsonl"], source


def pin_source(source: str, commit_of: Callable[[HubName], str | None]) -> str:
    """The source with the commit instead of the revision that it asks of the hub; any other source is itself, and so is
    one of no known commit (None).
    """
    if source in GENERATORS:
        return source
    name, published, place = locate(source)
    asked = hub_name(place, published)
    commit = commit_of(asked) if asked else None
    if asked is None or commit is None:
        return source
    pinned = f"{asked.name}@{commit}"
    return pinned if name == "jsonl" else f"{name}:{pinned}"


def prompt_template(sources: Sources) -> str:
    """How problems are asked where the recipe does not say. Raises ProblemError for sources that differ in it."""
    templates = {
        source: "{question}\n" if source in GENERATORS else locate(source)[1].template for source in each_source(sources)
    }
    if len(set(templates.values())) > 1:
        raise ProblemError(f"{', '.join(templates)} are asked in different ways; set prompt.template, which asks all of them")
    return next(iter(templates.values()))


def distinct(problems: Sequence[Problem]) -> list[Problem]:
    """The problems without those whose question came before."""
    first: dict[str, Problem] = {}
    for problem in problems:
        first.setdefault(problem.question, problem)
    return list(first.values())


def generate(settings: ProblemSettings, source: str, taken: Collection[str]) -> dict[Split, list[Problem]]:
    """Splits from a generator, without the questions `taken`: a problem's signature decides its split, so no split depends on
    another's size.
    """
    splits: dict[Split, list[Problem]] = {split: [] for split in SPLITS}
    wanted: dict[Split, int] = {}
    for split in SPLITS:
        count = 0 if split == "sft" and each_source(settings.sft_source) else getattr(settings, split)
        if count == "all":
            raise ProblemError(f'{source} makes problems without end; "all" is not a number of them: set {split} to one')
        wanted[split] = count
    seen = set()
    for signature, problem in GENERATORS[source](settings.seed):
        if all(len(splits[split]) >= wanted[split] for split in SPLITS):
            return splits
        split = split_of(signature)
        if signature in seen or problem.question in taken or len(splits[split]) >= wanted[split]:
            continue
        seen.add(signature)
        splits[split].append(replace(problem, id=f"{source}-{split}-{len(splits[split]):05d}"))
    short = ", ".join(f"{len(splits[split])} of {wanted[split]} for {split}" for split in SPLITS)
    raise ProblemError(f"{source} has too few different problems ({short}); lower [problems] sft, pairs, dev or test")


def split_of(signature: Any) -> Split:
    """The split that a problem belongs to, by a hash of its signature."""
    place = int.from_bytes(hashlib.sha256(repr(signature).encode()).digest()[:4], "big") % sum(SHARES.values())
    for split, share in SHARES.items():
        if place < share:
            return split
        place -= share
    raise AssertionError("the shares cover every place")


def cut_sources(settings: ProblemSettings, sources: Sequence[str], taken: Collection[str]) -> dict[Split, list[Problem]]:
    """Splits from files, folders or data sets: their problems shuffled by the seed, duplicates and the questions `taken` left
    out, then cut one after another. Test splits of their own give the test problems, where no other source does.
    """
    read = read_sources(sources)
    own_tests = [own_test(everything, held_out) for everything, held_out in read]
    has_tests = any(own_tests)
    lacking = [source for source, held_out in zip(sources, own_tests, strict=True) if not held_out]
    if has_tests and lacking and not each_source(settings.test_source):
        raise ProblemError(f"{', '.join(lacking)} has no test split and other sources have one; name them all in test_source")
    held_questions = {problem.question for held_out in own_tests for problem in held_out}
    free = [
        problem
        for problem in distinct([problem for everything, _ in read for problem in everything])
        if problem.question not in taken and problem.question not in held_questions
    ]
    splits: dict[Split, list[Problem]] = {split: [] for split in SPLITS}
    order: list[Split] = ["dev", "pairs"] if each_source(settings.sft_source) else ["dev", "sft", "pairs"]
    if has_tests and not each_source(settings.test_source):
        splits["test"] = in_turn([cut(settings, sources, ["test"], distinct(each))["test"] for each in own_tests])
    elif not each_source(settings.test_source):
        order = ["test", *order]
    return splits | cut(settings, sources, order, free)


def cut(
    settings: ProblemSettings, sources: Sequence[str], order: Sequence[Split], problems: list[Problem]
) -> dict[Split, list[Problem]]:
    """The problems, shuffled by the seed, as the splits of `order`, one after another.

    Raises ProblemError where there are fewer than asked for; of several test sets, one may have fewer.
    """
    random.Random(f"file:{settings.seed}").shuffle(problems)
    counts: dict[Split, Count] = {split: getattr(settings, split) for split in order}
    names = ", ".join(sources)
    if len(sources) > 1 and order == ["test"]:
        return {"test": limit(problems, settings.test)}
    rest = [split for split in order if counts[split] == "all"]
    if len(rest) > 1:
        raise ProblemError(f'"all" of {names} cannot be both {" and ".join(rest)}; set one of them to a number')
    wanted = sum(count for count in counts.values() if count != "all")
    if wanted > len(problems):
        raise ProblemError(
            f"{names} has {len(problems)} different problems for {', '.join(order)} and the recipe asks for "
            f"{wanted}; lower [problems] {', '.join(order)}"
        )
    splits: dict[Split, list[Problem]] = {}
    for split, count in counts.items():
        size = len(problems) - wanted if count == "all" else count
        wanted -= 0 if count == "all" else count
        splits[split], problems = problems[:size], problems[size:]
    return splits
