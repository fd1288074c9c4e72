"""What a report tells in which order: its sections, each with the tables and the figures that belong to it.

Holds the name of every table and figure that any report can have. Knows none of them (see tables and figures).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """tables, figures: names in the order of reading; of those that a run has nothing for, nothing is shown."""

    title: str
    tables: tuple[str, ...]
    figures: tuple[str, ...]


SECTIONS = (
    Section("Result", ("main", "differences", "sets", "set-differences"), ("accuracy", "differences")),
    Section("Rounds", ("rounds",), ("rounds",)),
    Section("Wrong answers", ("error-kinds", "error-places"), ("errors",)),
    Section("Data", ("data",), ("pairs", "forks", "attempts", "first-wrong-step", "unused")),
    Section(
        "Training",
        ("training",),
        (
            "sft-loss",
            "preference-loss",
            "reward-margin",
            "reward-margin-by-kind",
            "reward-accuracy-by-kind",
            "chosen-log-probs",
            "rejected-log-probs",
        ),
    ),
    Section("Temperature", ("temperature", "temperature-garbled"), ("temperature",)),
    Section("Credit", ("localisation", "localisation-differences"), ("localisation",)),
    Section("Stage times", ("times",), ("times",)),
)
TABLES = tuple(name for section in SECTIONS for name in section.tables)
FIGURES = tuple(name for section in SECTIONS for name in section.figures)
