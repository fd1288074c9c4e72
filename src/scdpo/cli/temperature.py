"""`scdpo temperature RUN`: the study's tables in the terminal, and its figure as a file."""

from __future__ import annotations

from rich.console import Console

from scdpo.files import write_files
from scdpo.report.figures import temperature_figure
from scdpo.report.markdown import markdown
from scdpo.report.study_tables import temperature_tables
from scdpo.run.directory import RunDirectory
from scdpo.run.studies import read_temperatures


def show_temperatures(run: RunDirectory, console: Console) -> None:
    """Print accuracy and garbled share by temperature, and draw them into figures/temperature.svg of the run."""
    studied, split = read_temperatures(run), run.recipe.evaluation.split
    for table in temperature_tables(studied, split):
        console.print(f"\n{markdown(table)}", markup=False, end="")
    figure = temperature_figure(studied, split)
    (file,) = write_files(run.path, {f"figures/{figure.name}.svg": figure.standalone()}, ())
    console.print(f"\nThe figure: {file}", markup=False)
