"""The result of a run: what its records come to, as results.json, a report and its exports (docs/run-directory.md)."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from scdpo.credit.localisation import localisation
from scdpo.evaluation.errors import error_breakdown
from scdpo.evaluation.statistics import Estimate, paired_difference, wilson
from scdpo.files import write_files, write_whole
from scdpo.grading.grade import is_preferred
from scdpo.jsonlines import json_text
from scdpo.problems.problem import Problem
from scdpo.problems.step_oracle import first_error
from scdpo.report.exports import export_names, exports
from scdpo.report.markdown import markdown_page, tables
from scdpo.report.page import html_page
from scdpo.report.result import DIFFERENCES, Result, RoundFigures, SetFigures, TreeView, headline
from scdpo.run.directory import Round, RunDirectory, round_name
from scdpo.run.studies import read_credited, read_temperatures
from scdpo.sampling.arms import arm_trees, count_pairs
from scdpo.sampling.policies import ProblemSamples
from scdpo.sampling.stages import ForkedProblem
from scdpo.solutions.code_format import FORMATS, CodeFormat, Piece
from scdpo.solutions.solution import Solution, Step

TREES_SHOWN = 10_000
CREDIT_SHOWN = 200
"""On the page; more of them make a file that opens too slowly."""


def collect(run: RunDirectory) -> Result:
    """The figures of a finished run. Pure reading."""
    problems = run.evaluation_problems
    first, *later = run.rounds
    answers = {name: read_answers(first, name) for name in first.models}
    right = {name: outcomes(solutions) for name, solutions in answers.items()}
    manifest = run.manifest()
    samples, forked = first.read_samples(), first.read_trees()
    form = FORMATS[run.recipe.code.format] if run.recipe.code.format else None
    by_id = {problem.id: problem for problem in run.pair_problems}
    credited = read_credited(run)
    different = list({(each.question, each.text): each for each in credited}.values())
    grown = [record for record in forked if record.tree]
    return Result(
        name=run.path.name,
        split=run.recipe.evaluation.split,
        accuracy=accuracies(right),
        differences=all_differences(right),
        errors={name: error_breakdown(problems, solutions) for name, solutions in answers.items()},
        pairs={arm: count_pairs(arm_trees(arm, forked, samples)) for arm in first.arms if arm != "rft"}
        | ({"rft": {"chosen_solutions": sum(record.tree is not None for record in forked)}} if "rft" in first.arms else {}),
        sampling=sampling_figures(run, samples),
        forking=forking_figures(forked, by_id),
        stage_seconds=manifest.get("stage_seconds", {}),
        recipe=run.recipe.model_dump(mode="json"),
        manifest=manifest,
        training={round_name(name, each.number): read_log(each, name) for each in run.rounds for name in each.models},
        trees=[tree_view(record, by_id[record.problem], form) for record in grown[:TREES_SHOWN]],
        rounds=round_figures(run.rounds, right["sft"]) if later else (),
        localisation=localisation(credited),
        credited=different[:CREDIT_SHOWN],
        temperatures=read_temperatures(run),
        sets=set_figures([problem.set for problem in problems], right),
        more_trees=len(grown[TREES_SHOWN:]),
        more_credited=len(different[CREDIT_SHOWN:]),
    )


def accuracies(right: Mapping[str, Sequence[bool]]) -> dict[str, Estimate]:
    """The accuracy of each model. right: which problems it answers rightly."""
    return {name: wilson(sum(each), len(each)) for name, each in right.items()}


def all_differences(right: Mapping[str, Sequence[bool]]) -> dict[str, Estimate]:
    """The paired differences of the models that are there."""
    return {f"{b} - {a}": paired_difference(right[a], right[b]) for a, b in DIFFERENCES if {a, b} <= right.keys()}


def set_figures(sets: Sequence[str | None], right: Mapping[str, Sequence[bool]]) -> dict[str, SetFigures]:
    """The figures of each test set, in a run of several. sets: that of each problem."""
    found = {}
    for name in dict.fromkeys(each for each in sets if each is not None):
        part = {model: [a for a, own in zip(answers, sets, strict=True) if own == name] for model, answers in right.items()}
        found[name] = SetFigures(accuracies(part), all_differences(part))
    return found


def round_figures(rounds: Sequence[Round], sft: Sequence[bool]) -> list[RoundFigures]:
    """The figures of each round's scdpo. sft: which problems the SFT model answers rightly."""
    figures, before = [], sft
    for each in rounds:
        right = outcomes(read_answers(each, "scdpo"))
        drawn = [record.samples[0].verdict.is_correct for record in each.read_samples() if record.samples]
        figures.append(
            RoundFigures(
                number=each.number,
                accuracy=wilson(sum(right), len(right)),
                from_start=paired_difference(before, right),
                from_sft=paired_difference(sft, right),
                pairs=count_pairs(arm_trees("scdpo", each.read_trees(), ())),
                sampled=wilson(sum(drawn), len(drawn)),
            )
        )
        before = right
    return figures


def read_answers(current: Round, model: str) -> list[Solution]:
    return [Solution.from_json(record) for record in current.answers(model)]


def outcomes(solutions: Iterable[Solution]) -> list[bool]:
    return [solution.verdict.is_correct for solution in solutions]


def sampling_figures(run: RunDirectory, records: Sequence[ProblemSamples]) -> dict[str, Any]:
    """What naive sampling gave: samples by verdict and reason, problems by what they lack."""
    drawn = [sample for record in records for sample in record.samples]
    lacking: Counter[str] = Counter()
    for record in records:
        preferred = any(is_preferred(sample, run.recipe.sampling.banned) for sample in record.samples)
        wrong = any(sample.verdict.is_wrong for sample in record.samples)
        lacking[
            record.skipped
            or ("both" if preferred and wrong else "only correct" if preferred else "only wrong" if wrong else "neither")
        ] += 1
    return {
        "problems": len(records),
        "samples": len(drawn),
        "by_outcome": dict(Counter(sample.verdict.outcome for sample in drawn)),
        "undecided_by_reason": dict(Counter(s.verdict.reason for s in drawn if s.verdict.outcome == "undecided")),
        "problems_with": dict(lacking),
        "accuracy": sum(sample.verdict.is_correct for sample in drawn) / max(1, len(drawn)),
    }


def forking_figures(records: Sequence[ForkedProblem], problems: Mapping[str, Problem]) -> dict[str, Any]:
    """What forking gave: attempts, outcomes, fork places, and (with the oracle) where the first wrong step lies."""
    tries = [attempt for record in records for attempt in record.tries]
    trees = [record.tree for record in records if record.tree]
    unused: Counter[str] = Counter()
    for attempt in tries:
        unused.update(attempt.unused)
    first_wrong: Counter[str] = Counter()
    lucky = 0
    judged = [tree for tree in trees if problems[tree.problem].facts is not None]
    for tree in judged:
        lucky += first_error(problems[tree.problem], [step.text for step in tree.trunk.steps]) is not None
        for branch in tree.branches:
            if branch.is_step_controlled:
                error = first_error(problems[tree.problem], [step.text for step in tree.whole(branch).steps])
                place = None if error is None else error.step - branch.fork
                first_wrong["none" if place is None else "before" if place < 0 else "at" if place == 0 else "later"] += 1
    return {
        "forks_tried": len(tries),
        "forks_gone_wrong": sum(attempt.found for attempt in tries),
        "continuations": sum(attempt.attempts for attempt in tries),
        "unused_by_reason": dict(unused.most_common()),
        "by_fork": dict(sorted(Counter(attempt.fork for attempt in tries if attempt.found).items())),
        "attempts": dict(sorted(Counter(attempt.attempts for attempt in tries if attempt.found).items())),
        "first_wrong_step_relative_to_fork": dict(first_wrong),
        "trunks_with_a_wrong_step": {"count": lucky, "of": len(judged)},
        "further_samples": sum(len(record.further) for record in records),
    }


def step_view(step: Step, form: CodeFormat | None) -> dict[str, Any]:
    """A step for the page: its temperature and its pieces of text, code and output, without their marks."""
    pieces = form.pieces(step.text) if form is not None else [Piece("text", step.text, step.text)]
    shown = [{"kind": piece.kind, "text": piece.inner} for piece in pieces if piece.whole.strip()]
    return {"pieces": shown, "temperature": step.temperature}


def tree_view(record: ForkedProblem, problem: Problem, form: CodeFormat | None) -> TreeView:
    """One tree for the page, each branch with the step that the oracle calls its first wrong one."""
    tree = record.tree
    assert tree is not None
    branches = []
    for branch in tree.branches:
        whole = tree.whole(branch)
        error = first_error(problem, [step.text for step in whole.steps]) if problem.facts is not None else None
        branches.append(
            {
                "fork": branch.fork,
                "answer": branch.verdict.extracted,
                "steps": [step_view(step, form) for step in branch.steps],
                "wrong": None if error is None else error.step,
                "kind": None if error is None else error.kind,
            }
        )
    return TreeView(
        problem=tree.problem,
        question=tree.question,
        answer=problem.answer,
        trunk=[step_view(step, form) for step in tree.trunk.steps],
        branches=branches,
        tries=[{"fork": t.fork, "attempts": t.attempts, "found": t.found} for t in record.tries],
    )


def read_log(current: Round, name: str) -> list[dict[str, Any]]:
    file = current.log(name)
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def write_report(run: RunDirectory) -> str:
    """Write results.json, report.md, report.html, figures/ and tables/ into the run; returns what a command ends with."""
    began = time.monotonic()
    result = collect(run)
    own = round(time.monotonic() - began, 2)
    result = replace(result, stage_seconds={**result.stage_seconds, "report": own})
    write_whole(run.path / "results.json", json_text(result.to_json()))
    write_whole(run.path / "report.md", markdown_page(result))
    write_whole(run.path / "report.html", html_page(result))
    write_files(run.path, exports(result), export_names())
    run.update_manifest(counts=counts(result))
    places = [
        f"The page: {run.path / 'report.html'}",
        f"The numbers: {run.path / 'results.json'}",
        f"For a paper: {run.path / 'figures'}, {run.path / 'tables'}",
    ]
    return "\n".join([tables(result), *places, "", headline(result)])


def counts(result: Result) -> dict[str, Any]:
    """How much of everything the run made, for the manifest."""
    return {
        "samples": result.sampling["samples"],
        "continuations": result.forking["continuations"],
        "further_samples": result.forking["further_samples"],
        "pairs": result.pairs,
        "answers": {name: value.n for name, value in result.accuracy.items()},
    }
