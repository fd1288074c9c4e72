"""The tables of what a run did: the data that it made, its trainings, its stages' times. And the list of all tables."""

from __future__ import annotations

from typing import Any

from scdpo.report.result import FALLING, Result, label
from scdpo.report.tables import (
    Table,
    difference_table,
    error_places,
    error_table,
    localisation_tables,
    main_table,
    place_table,
    round_table,
    temperature_tables,
)

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
