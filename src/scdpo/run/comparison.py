"""Runs read for a comparison: which may be set side by side, and what is taken from their records. And its files, written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from scdpo.errors import RunError
from scdpo.evaluation.statistics import Estimate
from scdpo.files import write_files
from scdpo.jsonlines import json_text
from scdpo.problems.problem import Problem
from scdpo.report.comparison import Comparison, RunFigures, compare
from scdpo.report.comparison_page import accuracy_figure, html_page, markdown_page
from scdpo.report.comparison_tables import TABLES, comparison_tables
from scdpo.report.exports import table_names, table_texts
from scdpo.run.directory import Round, RunDirectory, round_name
from scdpo.run.fingerprint import changes_nothing
from scdpo.run.prepare import refuse_stale
from scdpo.run.results import read_log
from scdpo.run.stage import lacking
from scdpo.run.stages.report import REPORT

SEEDS = ("run.seed", "problems.seed")
SIZES = ("credit.problems", "temperature.problems", "temperature.temperatures", "temperature.models")
"""Sizes of the studies: how much of what came out is looked at."""


def compare_runs(paths: Sequence[str]) -> Comparison:
    """The finished runs at `paths` side by side. Raises RunError for what cannot be compared, with the cure."""
    if len(paths) < 2:
        raise RunError(
            f"comparing takes at least two runs; name another one, or read this one's own report: {paths[0]}/report.md"
        )
    runs = [RunDirectory.open(path) for path in paths]
    refuse_repeated(runs)
    refuse_unfinished(runs)
    refuse_other_splits(runs)
    figures = [run_figures(run, name) for run, name in zip(runs, distinct_names(runs), strict=True)]
    refuse_repeated_seeds(figures)
    return compare(figures, runs[0].recipe.evaluation.split)


def refuse_repeated(runs: Sequence[RunDirectory]) -> None:
    """Raises RunError where two paths lead to one run."""
    places = [run.path.resolve() for run in runs]
    for place, run in zip(places, runs, strict=True):
        if places.count(place) > 1:
            raise RunError(f"{run.path} is given twice; name each run once")


def refuse_unfinished(runs: Sequence[RunDirectory]) -> None:
    """Raises RunError, with the command for it, where a run lacks answers; and where one problem is all that it answered."""
    for run in runs:
        if len(run.evaluation_problems) < 2:
            raise RunError(f"{run.path} was evaluated on one problem, which has no spread; raise problems.test in a new run")
        if missing := lacking(REPORT, run.round(1)):
            raise RunError(missing)
        refuse_stale(run)


def refuse_other_splits(runs: Sequence[RunDirectory]) -> None:
    """Raises RunError where one run was tested and another chosen by: that is not a comparison."""
    first, *others = runs
    for run in others:
        if run.recipe.evaluation.split != first.recipe.evaluation.split:
            raise RunError(
                f"{first.path} was evaluated on {first.recipe.evaluation.split} problems and {run.path} on "
                f"{run.recipe.evaluation.split} problems; compare runs of the same evaluation.split"
            )


def refuse_repeated_seeds(runs: Sequence[RunFigures]) -> None:
    """Raises RunError where two runs are one draw: pooled as two they would make the intervals too short."""
    for first, second in combinations(runs, 2):
        if (first.fields, first.seeds) == (second.fields, second.seeds):
            raise RunError(
                f"{second.name} has the recipe and the seeds of {first.name}, so it is no other draw; leave one out, or run it "
                "again with another --run.seed"
            )


def distinct_names(runs: Sequence[RunDirectory]) -> list[str]:
    """The folders' names, with as many of the folders above as it takes to tell the runs apart."""
    places = [run.path.resolve().parts for run in runs]
    for depth in range(1, max(map(len, places)) + 1):
        names = ["/".join(place[-depth:]) for place in places]
        if len(set(names)) == len(names):
            break
    return names


def run_figures(run: RunDirectory, name: str) -> RunFigures:
    """What a finished run brings into a comparison."""
    fields = {field: value for field, value in run.fields.items() if not changes_nothing(field) and field not in SIZES}
    results = run.path / "results.json"
    known = json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}
    models = [(model, each) for each in run.rounds for model in each.models]
    questions = identities(run.evaluation_problems)
    return RunFigures(
        name=name,
        seeds={seed: fields.pop(seed) for seed in SEEDS},
        fields=fields,
        right={round_name(model, each.number): right_answers(each, model, questions) for model, each in models},
        training={round_name(model, each.number): read_log(each, model) for model, each in models},
        stage_seconds=known.get("stage_seconds", run.manifest().get("stage_seconds", {})),
        localisation=localisation_rates(known.get("localisation", {})),
    )


def right_answers(current: Round, model: str, questions: Sequence[str]) -> dict[str, bool]:
    """Question -> whether the model's answer is right."""
    verdicts = (record["verdict"]["outcome"] == "correct" for record in current.answers(model))
    return dict(zip(questions, verdicts, strict=True))


def identities(problems: Iterable[Problem]) -> list[str]:
    """What a problem is known by in other runs: its question, and in a set that asks it again, which time that is.

    Not its id: generated problems of another seed have the same ids and other questions.
    """
    seen: Counter[str] = Counter()
    names = []
    for problem in problems:
        seen[problem.question] += 1
        times = seen[problem.question]
        names.append(problem.question if times == 1 else f"{problem.question} ({times})")
    return names


def localisation_rates(found: Mapping[str, Any]) -> dict[str, Estimate]:
    """Score -> how often it finds the first wrong step, from what results.json says of localisation."""
    scores = {score: figures["first_wrong_step"] for score, figures in found.items() if is_score(figures)}
    return {
        score: Estimate(each["rate"], each["ci95"][0], each["ci95"][1], found["problems"]) for score, each in scores.items()
    }


def is_score(figures: Any) -> bool:
    """Beside the scores lie counts, chance (without an interval) and differences (of other figures)."""
    return isinstance(figures, dict) and "ci95" in figures.get("first_wrong_step", ())


def write_comparison(comparison: Comparison, folder: Path) -> None:
    """Write compare.md, compare.json, compare.html and the figure, and each table as Markdown and LaTeX, to `folder`.

    Tables of an earlier comparison there that this one has not are removed. Raises RunError where the folder is a run, whose
    own tables have some of the names.
    """
    if (folder / "recipe.toml").exists():
        raise RunError(f"{folder} is a run and has tables of its own; name another folder with --out")
    texts = {
        "compare.md": markdown_page(comparison),
        "compare.json": json_text(comparison.to_json()),
        "compare.html": html_page(comparison),
        "accuracy.svg": accuracy_figure(comparison).standalone(),
    }
    texts |= table_texts(comparison_tables(comparison))
    write_files(folder, texts, table_names(TABLES))
