"""The tables of what a run did: the data that it made, its trainings, its stages' times."""

from __future__ import annotations

from typing import Any

from scdpo.report.result import FALLING, Result, label
from scdpo.report.table import Table

WHERE = {
    "at": "right after the fork",
    "later": "later after the fork",
    "before": "before the fork",
    "none": "nowhere (by the oracle)",
}
TRAINING_FACTS = {
    "solutions": "solutions",
    "trees": "trees",
    "pairs": "pairs",
    "dropped": "dropped, by reason",
    "layout": "layout",
    "steps": "steps",
    "first_loss": "first loss",
    "last_loss": "last loss",
}
TRAINING_FIGURES = {
    "naive/rewards/margin": "margin, naive",
    "step-controlled/rewards/margin": "margin, step-controlled",
    "log_probs/chosen": "chosen log-probs",
    "log_probs/rejected": "rejected log-probs",
}


def data_table(result: Result) -> Table:
    """The data composition: from samples to pairs, and what was not used, by reason."""
    sampling, forking = result.sampling, result.forking
    lucky = forking["trunks_with_a_wrong_step"]
    rows = [
        ("problems sampled", sampling["problems"]),
        ("naive samples", sampling["samples"]),
        *((f"naive samples: {name}", count) for name, count in sampling["by_outcome"].items()),
        *((f"undecided: {reason}", count) for reason, count in sampling["undecided_by_reason"].items()),
        *((f"problems with {name}", count) for name, count in sampling["problems_with"].items()),
        ("forks tried", forking["forks_tried"]),
        ("forks gone wrong (step-controlled pairs)", forking["forks_gone_wrong"]),
        ("continuations sampled", forking["continuations"]),
        *((f"continuations not used: {reason}", count) for reason, count in forking["unused_by_reason"].items()),
        *((f"pairs forked after step {fork}", count) for fork, count in forking["by_fork"].items()),
        *((f"first wrong step {WHERE[place]}", count) for place, count in forking["first_wrong_step_relative_to_fork"].items()),
        *([("preferred solutions with a wrong step", f"{lucky['count']} of {lucky['of']}")] if lucky["of"] else []),
        ("further naive samples for equal data", forking["further_samples"]),
    ]
    return Table("data", "Data, from samples to pairs.", ("what", "count"), tuple((name, str(value)) for name, value in rows))


def training_table(result: Result) -> Table:
    """The facts of each training and what it logged last, a column a model: of the models that were trained."""
    models, facts, figures = [], [], []
    for name, log in result.training.items():
        if log:
            *logged, last = log
            models.append(label(name))
            facts.append(last)
            figures.append(logged[-1] if logged else {})
    rows = [(text, *(cell_text(each.get(key, "")) for each in facts)) for key, text in TRAINING_FACTS.items()]
    rows += [(text, *(cell_text(each.get(key, "")) for each in figures)) for key, text in TRAINING_FIGURES.items()]
    return Table(
        name="training",
        title="Trainings.",
        head=("what", *models),
        rows=tuple(rows),
        note=f"Margins and log-probs (nats) as last logged. {FALLING}",
    )


def cell_text(value: Any) -> str:
    """A fact as a cell: numbers short, counts by name as a list."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "0"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def times_table(result: Result) -> Table:
    """Wall time by stage."""
    rows = tuple((name, f"{seconds:.0f}") for name, seconds in result.stage_seconds.items())
    return Table("times", "Wall time by stage.", ("stage", "seconds"), rows)
