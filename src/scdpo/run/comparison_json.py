"""compare.json: a comparison as JSON. Knows no files."""

from __future__ import annotations

import json
from typing import Any

from scdpo.evaluation.pooling import Pooled
from scdpo.report.comparison import Between, Comparison, Group, RunFigures, differences_of
from scdpo.run.results_json import counted, paired


def comparison_json(comparison: Comparison) -> str:
    """All numbers of a comparison. A difference is resolved within a run over its problems, elsewhere over seeds too."""
    content = {
        "schema": 1,
        "split": comparison.split,
        "runs": {run.name: run_json(run) | {"recipe": group.name} for group in comparison.groups for run in group.runs},
        "recipes": {group.name: group_json(group, list(comparison.differing)) for group in comparison.groups},
        "between": [between_json(each) for each in comparison.between],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def run_json(run: RunFigures) -> dict[str, Any]:
    return {
        "seeds": run.seeds,
        "models": {model: counted(value, "accuracy") for model, value in run.accuracy.items()},
        "differences": {f"{b} - {a}": paired(run.difference(a, b)) for a, b in differences_of(run.right)},
        "localisation": {score: counted(value, "rate") for score, value in run.localisation.items()},
        "stage_seconds": run.stage_seconds,
    }


def group_json(group: Group, fields: list[str]) -> dict[str, Any]:
    """fields: those in which recipes differ."""
    return {
        "runs": [run.name for run in group.runs],
        "fields": {name: group.runs[0].fields.get(name) for name in fields},
        "models": {model: counted(each.estimate, "accuracy") | over_seeds(each) for model, each in group.accuracy.items()},
        "differences": {
            name: paired(each.estimate) | {"resolved": each.is_resolved} | over_seeds(each)
            for name, each in group.differences.items()
        },
    }


def over_seeds(value: Pooled) -> dict[str, Any]:
    deviation = None if value.deviation is None else round(value.deviation, 6)
    return {"seeds": value.seeds, "deviation": deviation, "problems_of_seeds": value.sharing}


def between_json(value: Between) -> dict[str, Any]:
    of = {"model": value.model, "first": value.first, "second": value.second, "seeds": value.seeds, "basis": value.basis}
    return of | paired(value.estimate) | {"resolved": value.is_resolved}
