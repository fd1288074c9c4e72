"""Several runs side by side: what a comparison is made from, and what it comes to. Pure: knows no files and no format.

Runs that differ in nothing but their seeds are one recipe, and are pooled. Recipes are compared with the first one given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from scdpo.evaluation.pooling import Pooled, pooled_accuracy, pooled_difference
from scdpo.evaluation.statistics import Estimate, paired_difference, unpaired_difference, wilson
from scdpo.report.result import DIFFERENCES

Basis = Literal["paired", "paired, other seeds", "other seeds", "other problems", "problems in part the same"]
"""What a difference between recipes rests on. The first two: the same problems for both, with a run of the same seeds, or with
the only runs there are. The others: unpaired, and why."""


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What a comparison needs of one run.

    seeds, fields: "section.field" -> value, of the recipe's seeds and of all else that decides what comes out; right: model ->
    question -> whether its answer is right; training: model -> the lines of its log; localisation: score -> how often it finds
    the first wrong step.
    """

    name: str
    seeds: Mapping[str, int]
    fields: Mapping[str, Any]
    right: Mapping[str, Mapping[str, bool]]
    training: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    localisation: Mapping[str, Estimate] = field(default_factory=dict)

    @property
    def accuracy(self) -> dict[str, Estimate]:
        return {model: wilson(sum(right.values()), len(right)) for model, right in self.right.items()}

    @property
    def problems(self) -> int:
        return len(next(iter(self.right.values())))

    def difference(self, first: str, second: str) -> Estimate:
        """Of two of the run's models, on its problems."""
        return paired_difference(*zip(*((self.right[first][q], self.right[second][q]) for q in self.right[first]), strict=True))

    def to_json(self) -> dict[str, Any]:
        return {
            "seeds": self.seeds,
            "models": {model: value.counted_json("accuracy") for model, value in self.accuracy.items()},
            "differences": {f"{b} - {a}": self.difference(a, b).paired_json() for a, b in differences_of(self.right)},
            "localisation": {score: value.counted_json("rate") for score, value in self.localisation.items()},
            "stage_seconds": self.stage_seconds,
        }


@dataclass(frozen=True, slots=True)
class Group:
    """The runs of one recipe, whose seeds alone differ. name: a letter, for tables."""

    name: str
    runs: Sequence[RunFigures]
    accuracy: Mapping[str, Pooled]
    differences: Mapping[str, Pooled]

    @property
    def is_pooled(self) -> bool:
        return len(self.runs) > 1

    @property
    def varied(self) -> list[str]:
        """The seeds that differ between the runs."""
        return [name for name in self.runs[0].seeds if len({run.seeds[name] for run in self.runs}) > 1]

    def to_json(self, fields: Iterable[str]) -> dict[str, Any]:
        """fields: those in which recipes differ."""
        return {
            "runs": [run.name for run in self.runs],
            "fields": {name: self.runs[0].fields.get(name) for name in fields},
            "models": {m: each.estimate.counted_json("accuracy") | each.to_json() for m, each in self.accuracy.items()},
            "differences": {
                name: each.estimate.paired_json() | {"resolved": each.is_resolved} | each.to_json()
                for name, each in self.differences.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Between:
    """accuracy(second) - accuracy(first) of one model of two recipes. seeds: of each; the same ones where it is paired."""

    model: str
    first: str
    second: str
    estimate: Estimate
    seeds: tuple[int, int]
    basis: Basis

    @property
    def is_over_seeds(self) -> bool:
        return min(self.seeds) > 1

    @property
    def is_resolved(self) -> bool:
        """Whether the recipes may be said to differ: with one seed of either, only its models may."""
        return self.is_over_seeds and self.estimate.is_resolved

    def to_json(self) -> dict[str, Any]:
        of = {"model": self.model, "first": self.first, "second": self.second, "seeds": self.seeds, "basis": self.basis}
        return of | self.estimate.paired_json() | {"resolved": self.is_resolved}


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that a comparison says."""

    split: str
    groups: Sequence[Group]
    between: Sequence[Between]

    def to_json(self) -> dict[str, Any]:
        """compare.json. A difference is resolved within a run over its problems, elsewhere over seeds too."""
        return {
            "schema": 1,
            "split": self.split,
            "runs": {run.name: run.to_json() | {"recipe": group.name} for group in self.groups for run in group.runs},
            "recipes": {group.name: group.to_json(self.differing) for group in self.groups},
            "between": [each.to_json() for each in self.between],
        }

    @property
    def runs(self) -> list[RunFigures]:
        """All runs, recipe by recipe."""
        return [run for group in self.groups for run in group.runs]

    @property
    def models(self) -> list[str]:
        """All models, those of later rounds last."""
        return list(dict.fromkeys(model for run in sorted(self.runs, key=lambda run: -len(run.right)) for model in run.right))

    @property
    def differing(self) -> dict[str, list[Any]]:
        """ "section.field" -> its value in each recipe, where these differ."""
        recipes = [group.runs[0].fields for group in self.groups]
        names = dict.fromkeys(name for fields in recipes for name in fields)
        values = {name: [fields.get(name) for fields in recipes] for name in names}
        return {name: each for name, each in values.items() if any(value != each[0] for value in each)}


def compare(runs: Sequence[RunFigures], split: str) -> Comparison:
    """The runs as recipes with seeds, each recipe pooled, and each later recipe against the first."""
    recipes: list[list[RunFigures]] = []
    for run in runs:
        alike = next((others for others in recipes if others[0].fields == run.fields), None)
        if alike is None:
            recipes.append([run])
        else:
            alike.append(run)
    groups = [pooled_group(letters(number), each) for number, each in enumerate(recipes)]
    first, *others = groups
    between = [
        difference_between(first, other, model) for other in others for model in first.accuracy if model in other.accuracy
    ]
    return Comparison(split, groups, between)


def pooled_group(name: str, runs: Sequence[RunFigures]) -> Group:
    """A recipe's accuracies and differences over its seeds."""
    right = {model: [run.right[model] for run in runs] for model in runs[0].right}
    return Group(
        name,
        runs,
        {model: pooled_accuracy(each) for model, each in right.items()},
        {f"{b} - {a}": pooled_difference(right[a], right[b]) for a, b in differences_of(right)},
    )


def differences_of(models: Iterable[str]) -> list[tuple[str, str]]:
    """(first, second) of the differences within a run: those of every report, and each later round against the one before."""
    models = list(models)
    chain = ["scdpo", *(model for model in models if model.startswith("scdpo."))]
    return [*(pair for pair in DIFFERENCES if set(pair) <= set(models)), *pairwise(chain)]


def difference_between(first: Group, second: Group, model: str) -> Between:
    """Paired where runs with the same seeds answered the same problems, or the only run of each did.

    Otherwise from the recipes' own intervals, which is right for other problems and too careful for shared ones.
    """
    both = [(a, b) for a in first.runs for b in second.runs if a.right[model].keys() == b.right[model].keys()]
    partners = [(a, b) for a, b in both if a.seeds == b.seeds]
    fewest = min(len(first.runs), len(second.runs))
    basis: Basis = "paired"
    if not partners and len(first.runs) == len(second.runs) == 1:
        partners, basis = both, "paired, other seeds"
    if partners and len(partners) >= min(2, fewest):
        pooled = pooled_difference([a.right[model] for a, _ in partners], [b.right[model] for _, b in partners])
        return Between(model, first.name, second.name, pooled.estimate, (pooled.seeds, pooled.seeds), basis)
    shared = any(a.right[model].keys() & b.right[model].keys() for a in first.runs for b in second.runs)
    basis = "other seeds" if both else "problems in part the same" if shared else "other problems"
    estimate = unpaired_difference(first.accuracy[model].estimate, second.accuracy[model].estimate)
    return Between(model, first.name, second.name, estimate, (len(first.runs), len(second.runs)), basis)


def letters(number: int) -> str:
    """A, B, ..., Z, AA, AB, ..."""
    return (letters(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)
