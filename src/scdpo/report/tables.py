"""All tables of a report: one set, which the terminal, report.md, the page and the exports show."""

from __future__ import annotations

from scdpo.report.result import Result
from scdpo.report.result_tables import (
    difference_table,
    error_places,
    error_table,
    main_table,
    place_table,
    round_table,
    set_tables,
)
from scdpo.report.run_tables import data_table, times_table, training_table
from scdpo.report.study_tables import localisation_tables, temperature_tables
from scdpo.report.table import Table


def all_tables(result: Result) -> list[Table]:
    """Every table that the run has something for, in the order of reading (see sections)."""
    return [
        main_table(result),
        difference_table(result),
        *(set_tables(result) if result.sets else []),
        *([round_table(result)] if result.rounds else []),
        error_table(result),
        *([place_table(result)] if error_places(result) else []),
        data_table(result),
        training_table(result),
        *(temperature_tables(result.temperatures, result.split) if result.temperatures else []),
        *(localisation_tables(result.localisation, f"{result.split} problems") if result.localisation else []),
        times_table(result),
    ]
