"""The tables of a comparison, and what its figure shows. Knows what each says; knows no format (see comparison_page)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scdpo.evaluation.pooling import Pooled
from scdpo.evaluation.statistics import Estimate
from scdpo.report.comparison import Between, Comparison, Group, differences_of
from scdpo.report.result import call, difference_label, label, p_text, percent, points
from scdpo.report.run_tables import TRAINING_FACTS, TRAINING_FIGURES, cell_text
from scdpo.report.table import RESOLVED, Table, resolved_cells

TABLES = (
    "runs",
    "recipes",
    "accuracy",
    "differences",
    "pooled-accuracy",
    "pooled-differences",
    "between",
    "trainings",
    "localisation",
    "times",
)
"""The names of all tables that a comparison can have."""
ALONE = "Each interval is for one difference alone: of twenty that are nothing, one is resolved on average."
POOLED = "Mean of the seeds' own figures; 95% intervals by Student's t over seeds and problems, both drawn at random."
SHARING = {
    "the same": "on the same problems",
    "partly the same": "on problems partly the same",
    "other": "each on other problems",
}
UNVARIED = {"run.seed": "another run.seed", "problems.seed": "other training problems"}
BASES = {
    "paired": "paired",
    "paired, other seeds": "paired, but other seeds",
    "other seeds": "not paired: other seeds",
    "other problems": "not paired: other problems",
    "problems in part the same": "not paired: problems in part the same",
}


def comparison_tables(comparison: Comparison) -> list[Table]:
    """All tables, those that say nothing here left out."""
    pooled = [group for group in comparison.groups if group.is_pooled]
    tables = [
        run_table(comparison),
        recipe_table(comparison),
        accuracy_table(comparison),
        difference_table(comparison),
        *([pooled_accuracy_table(comparison, pooled), pooled_difference_table(comparison, pooled)] if pooled else []),
        between_table(comparison),
        training_table(comparison),
        localisation_table(comparison),
        times_table(comparison),
    ]
    return [table for table in tables if table.rows]


def run_table(comparison: Comparison) -> Table:
    """Which run is of which recipe, and by which seeds."""
    rows = [
        (run.name, group.name, *(str(seed) for seed in run.seeds.values()), str(run.problems))
        for group in comparison.groups
        for run in group.runs
    ]
    return Table(
        name="runs",
        title=f"The runs, evaluated on {comparison.split} problems.",
        head=("run", "recipe", *comparison.runs[0].seeds, "problems"),
        rows=tuple(rows),
        note="Runs with the same letter differ in nothing but their seeds.",
    )


def recipe_table(comparison: Comparison) -> Table:
    """The fields in which the recipes differ."""
    rows = [(name, *(field_text(value) for value in values)) for name, values in comparison.differing.items()]
    return Table(
        name="recipes",
        title="Where the recipes differ.",
        head=("field", *(group.name for group in comparison.groups)),
        rows=tuple(rows),
        note="All other fields are the same, but those that only say where a run may run and how much of it is looked at.",
    )


def field_text(value: Any) -> str:
    """A recipe field's value as a cell."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


def accuracy_table(comparison: Comparison) -> Table:
    """Accuracy by run and model."""
    rows = []
    for run in comparison.runs:
        cells = {model: percent(value) for model, value in run.accuracy.items()}
        rows.append((run.name, str(run.problems), *(cells.get(model, "") for model in comparison.models)))
    return Table(
        name="accuracy",
        title=f"Accuracy % of each run, greedy, on its held-out {comparison.split} problems.",
        head=("run", "problems", *map(label, comparison.models)),
        rows=tuple(rows),
        note="Wilson 95% intervals, over problems, of models trained once.",
    )


def difference_table(comparison: Comparison) -> Table:
    """The differences within each run."""
    pairs = differences_of(comparison.models)
    rows = [
        (run.name, str(run.problems), *(points(run.difference(*pair)) if set(pair) <= set(run.right) else "" for pair in pairs))
        for run in comparison.runs
    ]
    return Table(
        name="differences",
        title="Differences within each run, points, paired by problem.",
        head=("run", "problems", *(difference_label(f"{second} - {first}") for first, second in pairs)),
        rows=tuple(rows),
        note="95% intervals by paired bootstrap over problems, of models trained once: another seed gives other models.",
    )


def pooled_accuracy_table(comparison: Comparison, groups: Sequence[Group]) -> Table:
    """Accuracy over the seeds of each recipe that has several."""
    rows = []
    for group in groups:
        cells = {model: percent(value.estimate) for model, value in group.accuracy.items()}
        seeds, problems = counts(next(iter(group.accuracy.values())))
        rows.append((f"recipe {group.name}", seeds, problems, *(cells.get(model, "") for model in comparison.models)))
    return Table(
        name="pooled-accuracy",
        title="Accuracy % over seeds.",
        head=("recipe", "seeds", "problems", *map(label, comparison.models)),
        rows=tuple(rows),
        note=f"{POOLED} {variation(groups)}",
    )


def pooled_difference_table(comparison: Comparison, groups: Sequence[Group]) -> Table:
    """Differences over the seeds of each recipe that has several, with what they allow one to say."""
    rows, estimates = [], []
    for group in groups:
        for name, pooled in group.differences.items():
            second, first = name.split(" - ")
            estimates.append([pooled.estimate])
            rows.append(
                (
                    f"{group.name}: {difference_label(name)}",
                    points(pooled.estimate),
                    deviation_text(pooled),
                    *counts(pooled),
                    call(pooled.estimate, second, first),
                )
            )
    return Table(
        name="pooled-differences",
        title="Differences over seeds, points, paired by problem within each seed.",
        head=("recipe: models", "points", "deviation", "seeds", "problems", "reading"),
        rows=tuple(rows),
        note=f"{POOLED} Deviation: the standard deviation of the seeds' own figures. {variation(groups)} Not resolved: the "
        f"interval includes zero. {RESOLVED} {ALONE}",
        strong=resolved_cells(estimates, first=1),
    )


def counts(pooled: Pooled) -> tuple[str, str]:
    """Seeds, and different problems."""
    return str(pooled.seeds), str(pooled.estimate.n)


def deviation_text(pooled: Pooled) -> str:
    return "" if pooled.deviation is None else f"{100 * pooled.deviation:.1f}"


def variation(groups: Sequence[Group]) -> str:
    """What an interval over seeds speaks of, and what not: which seeds differ between the runs, and whether problems do."""
    sentences = []
    for group in groups:
        varied, sharing = " and ".join(group.varied), SHARING[next(iter(group.accuracy.values())).sharing]
        sentences.append(f"Recipe {group.name}: {len(group.runs)} runs that differ in {varied}, {sharing}.")
        sentences += [f"Of {what} its intervals do not speak." for seed, what in UNVARIED.items() if seed not in group.varied]
    return " ".join(sentences)


def between_table(comparison: Comparison) -> Table:
    """Each later recipe against the first, model by model."""
    rows = [
        (
            f"{each.second} - {each.first}: {label(each.model)}",
            points(each.estimate),
            p_text(each.estimate.p),
            seeds_text(each),
            str(each.estimate.n),
            BASES[each.basis],
            between_call(each),
        )
        for each in comparison.between
    ]
    return Table(
        name="between",
        title=f"Recipes against recipe {comparison.groups[0].name}: the same model of both, points.",
        head=("recipes: model", "points", "p", "seeds", "problems", "how", "reading"),
        rows=tuple(rows),
        note="Paired: on the same problems, and with the same seeds. 95% intervals by Student's t over seeds and problems; of "
        "one seed by bootstrap over problems, p by McNemar's exact test, which speak of two models: another seed gives others. "
        "Not paired: from the two accuracies' own intervals (Newcombe's), n of the fewer problems. Bold: resolved over seeds. "
        f"{ALONE}",
        strong=frozenset((row, 1) for row, each in enumerate(comparison.between) if each.is_resolved),
    )


def seeds_text(between: Between) -> str:
    first, second = between.seeds
    return str(first) if first == second else f"{first} and {second}"


def between_call(between: Between) -> str:
    """What a difference between recipes allows one to say: of the recipes with several seeds, of two models with one each."""
    if not between.is_over_seeds and between.seeds != (1, 1):
        return f"not judged: {between.first if between.seeds[0] == 1 else between.second} has one seed"
    if not between.estimate.is_resolved:
        return "not resolved"
    word = "better" if between.estimate.value > 0 else "worse"
    return (
        f"{between.second} is {word} than {between.first}" if between.is_over_seeds else f"{word}, of two models trained once"
    )


def training_table(comparison: Comparison) -> Table:
    """What the trainings came to, run by run for each model."""
    facts = {name: text for name, text in TRAINING_FACTS.items() if name in ("pairs", "steps", "first_loss", "last_loss")}
    rows = []
    for model in comparison.models:
        for run in comparison.runs:
            if log := run.training.get(model):
                *logged, last = log
                figures = logged[-1] if logged else {}
                cells = [*(last.get(name, "") for name in facts), *(figures.get(name, "") for name in TRAINING_FIGURES)]
                rows.append((f"{label(model)}: {run.name}", *map(cell_text, cells)))
    return Table(
        name="trainings",
        title="The trainings of each run.",
        head=("model: run", *facts.values(), *TRAINING_FIGURES.values()),
        rows=tuple(rows),
        note="Margins and log-probs (nats) as last logged.",
    )


def localisation_table(comparison: Comparison) -> Table:
    """How often each score finds the first wrong step, run by run."""
    scores = list(dict.fromkeys(score for run in comparison.runs for score in run.localisation))
    rows = [
        ("problems", *(str(next(iter(run.localisation.values())).n) if run.localisation else "" for run in comparison.runs))
    ]
    rows += [
        (label(score), *(percent(run.localisation[score]) if score in run.localisation else "" for run in comparison.runs))
        for score in scores
    ]
    return Table(
        name="localisation",
        title="How often a score finds the first wrong step of each run's own wrong solutions, %.",
        head=("score", *(run.name for run in comparison.runs)),
        rows=tuple(rows) if scores else (),
        note="95% intervals by bootstrap over problems. Each run's are other solutions: not paired.",
    )


def times_table(comparison: Comparison) -> Table:
    """Wall time by stage and run."""
    stages = list(dict.fromkeys(stage for run in comparison.runs for stage in run.stage_seconds))
    rows = [
        (stage, *(f"{run.stage_seconds[stage]:.0f}" if stage in run.stage_seconds else "" for run in comparison.runs))
        for stage in stages
    ]
    return Table("times", "Wall time by stage, seconds.", ("stage", *(run.name for run in comparison.runs)), tuple(rows))


def figure_rows(comparison: Comparison) -> dict[str, Estimate]:
    """What the figure shows from top to bottom: each model's accuracy by run, then over the seeds of each recipe."""
    rows = {}
    for model in comparison.models:
        for run in comparison.runs:
            if model in run.right:
                rows[f"{label(model)}: {run.name}"] = run.accuracy[model]
        for group in comparison.groups:
            if group.is_pooled and model in group.accuracy:
                seeds = len(group.runs)
                rows[f"{label(model)}: recipe {group.name}, {seeds} seeds"] = group.accuracy[model].estimate
    return rows


def findings(comparison: Comparison) -> str:
    """What the comparison allows one to say, in sentences: of the first recipe's SCDPO over seeds, and between recipes."""
    sentences = [
        f"Recipe {group.name} over {len(group.runs)} seeds, {difference_label(name)}: {points(pooled.estimate)} points, "
        f"{call(pooled.estimate, *name.split(' - '))}."
        for group in comparison.groups
        if group.is_pooled
        for name, pooled in group.differences.items()
        if name in ("scdpo - sft", "scdpo - dpo-data-equal")
    ]
    sentences += [
        f"SCDPO of recipe {each.second} against recipe {each.first}, {BASES[each.basis]}: {points(each.estimate)} points, "
        f"{between_call(each)}."
        for each in comparison.between
        if each.model == "scdpo"
    ]
    return " ".join(sentences)
