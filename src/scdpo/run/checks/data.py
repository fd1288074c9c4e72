"""What the problems of a recipe hold, record by record: what cannot be read, what comes twice, what contradicts itself.

Problems that are generated are not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from scdpo.errors import ProblemError
from scdpo.grading.grade import grade
from scdpo.problems.problem import NO_ANSWER, Problem
from scdpo.problems.settings import each_source
from scdpo.problems.source import GENERATORS, read_each
from scdpo.run.checks.finding import Finding, first_of
from scdpo.run.recipe import Recipe

GRADED = 2000
"""How many worked solutions of a source are compared with their answers."""


@dataclass(frozen=True, slots=True)
class Records:
    """A source's problems by where they stand, what of it is none, and which of them are a test split beside others."""

    problems: Mapping[str, Problem]
    flaws: Sequence[Finding]
    held_out: Mapping[str, Problem]


def data_findings(recipe: Recipe) -> list[Finding]:
    """All that the records show, and the sources that cannot be read at all."""
    problems = recipe.problems
    tests = each_source(problems.test_source)
    findings: list[Finding] = []
    read: dict[str, Records] = {}
    for source in (*each_source(problems.source), *each_source(problems.sft_source), *tests):
        if source not in GENERATORS:
            try:
                read[source] = read_records_of(source)
            except ProblemError as error:
                findings.append(Finding("", str(error), refused=True))
    for source, records in read.items():
        findings += first_of(records.flaws, f"records of {source} that cannot be read")
        findings += twice(source, records.problems)
        findings += contradictions(source, records.problems)
        if source not in each_source(problems.sft_source):
            findings += unanswered(source, records.problems)
    evaluated: dict[str, Problem] = {}
    for source in tests or each_source(problems.source):
        if source in read:
            evaluated |= read[source].held_out or (read[source].problems if tests else {})
    for source in read:
        if source not in tests:
            trained = {where: each for where, each in read[source].problems.items() if where not in evaluated}
            findings += overlaps(source, trained, evaluated)
    return findings


def read_records_of(source: str) -> Records:
    """Raises ProblemError for a source that cannot be read at all."""
    found, flaws, held_out = {}, [], {}
    for record, problem in read_each(source):
        if isinstance(problem, ProblemError):
            flaws.append(Finding("", str(problem), refused=True))
            continue
        found[record.where] = problem
        if record.is_test:
            held_out[record.where] = problem
    return Records(found, flaws, held_out if len(held_out) < len(found) else {})


def plain(question: str) -> str:
    """A question without what does not make it another one: case and white space."""
    return " ".join(question.casefold().split())


def twice(source: str, found: Mapping[str, Problem]) -> list[Finding]:
    """Questions that come more than once: said; the same text is left out, another spelling of it is not."""
    first: dict[str, str] = {}
    findings = []
    for where, problem in found.items():
        before = first.setdefault(plain(problem.question), where)
        if before != where:
            same = found[before].question == problem.question
            what = "is left out" if same else "differs in case or spaces alone, and both are taken; leave one out"
            findings.append(Finding(where, f"the question of {before} again; it {what}"))
    return first_of(findings, f"questions of {source} that come twice")


def contradictions(source: str, found: Mapping[str, Problem]) -> list[Finding]:
    """Worked solutions that state another answer than the record's: said, as SFT would teach them."""
    worked = ((where, p) for where, p in found.items() if p.solution and p.answer != NO_ANSWER)
    findings = []
    for where, problem in islice(worked, GRADED):
        verdict = grade(problem.solution or "", problem.answer, full_text=True)
        if verdict.is_wrong:
            what = f'the worked solution states "{verdict.extracted}" and the answer is "{problem.answer}"; mend one of them'
            findings.append(Finding(where, what))
    return first_of(findings, f"worked solutions of {source} (the first {GRADED:,} are read) that state another answer")


def unanswered(source: str, found: Mapping[str, Problem]) -> list[Finding]:
    """Records with a worked solution and no answer, in a source that also gives problems to solve: said. Where one of them is
    drawn for pairs or for evaluation, the run is refused."""
    what = "no gold answer; it serves SFT alone, so name its file in problems.sft_source"
    findings = [Finding(where, what) for where, problem in found.items() if problem.answer == NO_ANSWER]
    return first_of(findings, f"records of {source} without an answer")


def overlaps(source: str, found: Mapping[str, Problem], evaluated: Mapping[str, Problem]) -> list[Finding]:
    """Questions that are evaluated as well: said; the same text is trained on nowhere, another spelling of it is."""
    places = {plain(problem.question): where for where, problem in evaluated.items()}
    findings = []
    for where, problem in found.items():
        test = places.get(plain(problem.question))
        if test is not None:
            same = evaluated[test].question == problem.question
            what = "it is not trained on" if same else "spelt otherwise, so it is trained on; leave it out"
            findings.append(Finding(where, f"the question of the test problem at {test}; {what}"))
    return first_of(findings, f"questions of {source} that are test problems")
