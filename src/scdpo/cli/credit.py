"""`scdpo credit RUN [FILE]`: which tokens of given solutions a run's models hold responsible, and how well they find errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from scdpo.cli.credit_view import print_solution
from scdpo.cli.files import written
from scdpo.cli.options import JsonFile, OutFile, Shown
from scdpo.credit.given import GivenSolution, read_given
from scdpo.credit.localisation import localisation
from scdpo.credit.processbench import processbench
from scdpo.credit.record import SFT_LOG_PROB, CreditedSolution
from scdpo.credit.scoring import LogProbs, token_scores
from scdpo.credit.solutions import scores_of
from scdpo.errors import ModelError, ProblemError, RunError
from scdpo.jsonlines import json_text
from scdpo.problems.problem import Problem
from scdpo.problems.published import PUBLISHED
from scdpo.problems.records import read_records
from scdpo.report.markdown import markdown
from scdpo.report.study_tables import localisation_tables, processbench_table
from scdpo.run.directory import RunDirectory, round_name
from scdpo.settings import Settings

if TYPE_CHECKING:
    from scdpo.run.worker import Worker
    from scdpo.solutions.codec import Codec

SHOWN = ("scdpo", "dpo")
"""What stands side by side where nothing else is asked for: the paper's Fig. 2."""


class CreditOptions(Settings):
    """Score solutions token by token with the trained models: those of FILE, or wrong ones sampled by the SFT model."""

    models: Annotated[tuple[str, ...], Shown("MODEL")] = SHOWN
    """Models that stand side by side: the run's, sft-log-prob, or folders."""
    reference: Annotated[str, Shown("MODEL")] = "sft"
    """What folders are compared with."""
    out: OutFile = None
    """Write every solution with all values, as JSON lines."""
    json_file: JsonFile = None
    """Write the figures of localisation and of ProcessBench's task."""
    html: OutFile = None
    """Write a page with the solutions, to look at side by side."""
    most: int = 3
    """The most solutions to print."""
    threshold: Annotated[float | None, Shown("NATS")] = None
    """ProcessBench's task: name the first step below this sum (default: the best of the other half of the problems)."""


def credit_file(run: RunDirectory, file: str, options: CreditOptions, console: Console) -> None:
    """Score the solutions of a file. Raises ProblemError, ModelError, RunError."""
    from scdpo.run.worker import Worker

    refuse_missing_folders(options)
    folders, references = find_models(run, options)
    worker = Worker(run)
    codec = worker.codec
    refuse_other_tokenizers(run, folders, codec)
    given = read_file(run, file, codec, console)
    rows = [each.row(codec) for each in given]
    log_probs = score_all(worker, folders, rows, console)
    credited = []
    for number, each in enumerate(given):
        own = {name: values[number] for name, values in log_probs.items()}
        scores = scores_of(own, references, run.recipe.training.beta)
        credited.append(each.credited(codec, {name: scores[name] for name in options.models}))
    show(credited, options, console)


def refuse_misfits(run: RunDirectory, options: CreditOptions) -> None:
    """Before the stage runs. Raises RunError for models that it does not score, and for output that has no folder."""
    refuse_missing_folders(options)
    there = (SFT_LOG_PROB, *run.round(1).arms)
    unknown = [name for name in options.models if name not in there]
    if unknown:
        raise RunError(f"the stage scores no {', '.join(unknown)}; it scores {', '.join(there)}; others can score a FILE")


def refuse_missing_folders(options: CreditOptions) -> None:
    """Raises RunError for output that has no folder to go to."""
    for place in (options.out, options.json_file, options.html):
        if place and not Path(place).expanduser().parent.is_dir():
            raise RunError(f"{Path(place).parent} is not a folder; make it, or name another place for {Path(place).name}")


def refuse_other_tokenizers(run: RunDirectory, folders: Mapping[str, Path], codec: Codec) -> None:
    """Raises ModelError for a folder whose model has other tokens than the run's: its log-probs would be of other texts."""
    from scdpo.training.model_files import load_tokenizer

    own = codec.tokenizer.get_vocab()
    for name, folder in folders.items():
        if not folder.is_relative_to(run.path) and load_tokenizer(folder).get_vocab() != own:
            raise ModelError(f"{name} has another vocabulary than the run's models; give a model that was trained from these")


def credit_run(run: RunDirectory, options: CreditOptions, console: Console) -> None:
    """Show what the run's credit stage gave."""
    from scdpo.run.studies import read_credited

    credited = read_credited(run)
    if not credited:
        console.print("No sampled solution is wrong, so none is scored; --credit.problems N samples more.", markup=False)
    elif all(solution.wrong is None for solution in credited):
        console.print("These problems do not know their first wrong steps, so nothing is said of how well they are found.")
    show(credited, options, console)


def show(credited: Sequence[CreditedSolution], options: CreditOptions, console: Console) -> None:
    """Write what is asked for, print some solutions, and the figures that their labels allow."""
    with written(options.out) as write:
        for solution in credited:
            write(json.dumps(solution.to_json(), ensure_ascii=False, separators=(",", ":")) + "\n")
    different = list({(solution.question, solution.text): solution for solution in credited}.values())
    most = max(0, options.most)
    for solution in different[:most]:
        print_solution(solution, options.models, console)
    if len(different) > most:
        console.print(f"{len(different) - most:,} more solutions; --most N shows more")
    if credited and most:
        console.print("Blue: higher than the reference, orange: lower (log-probs: orange). ✗ first wrong step, ◀ lowest sum.")
    tell_figures(credited, options, console)
    if options.html:
        from scdpo.report.credit_page import credit_page

        with written(options.html) as write:
            write(credit_page("Credit assignment", credited))
    for place in (options.out, options.json_file, options.html):
        if place:
            console.print(f"written: {place}", markup=False)


def tell_figures(credited: Sequence[CreditedSolution], options: CreditOptions, console: Console) -> None:
    """What the labels allow: localisation, and ProcessBench's F1 where some solutions have no error; as tables and JSON."""
    found = localisation(credited)
    scores = credited[0].values if credited else ()
    results = {score: processbench(credited, score, options.threshold) for score in scores}
    judged = {score: each for score, each in results.items() if each is not None}
    tables = [*(localisation_tables(found, "problems") if found else []), *([processbench_table(judged)] if judged else [])]
    for table in tables:
        console.print(f"\n{markdown(table)}", markup=False, end="")
    numbers = {"localisation": found.to_json()} if found else {}
    numbers |= {"processbench": {score: each.to_json() for score, each in judged.items()}} if judged else {}
    with written(options.json_file) as write:
        write(json_text(numbers))


def read_file(run: RunDirectory, file: str, codec: Codec, console: Console) -> list[GivenSolution]:
    """The solutions of a file that can be scored; what cannot be is counted, and told. Raises ProblemError."""
    known: dict[str, Problem] = {}
    context = run.recipe.model.context
    of_pairs = Path(file).name == "samples.jsonl" and Path(file).parent.name != "credit"
    splits = (run.pair_problems, run.evaluation_problems) if of_pairs else (run.evaluation_problems, run.pair_problems)
    for problem in chain(*splits):  # an id may be in both, for another problem
        known.setdefault(problem.id, problem)
        known.setdefault(problem.question, problem)
    between = {"blocks": "", "fences": "\n", "lines": "\n"}.get(codec.format, "\n\n")
    given: list[GivenSolution] = []
    left_out: dict[str, list[str]] = {}
    for record in read_records(file, PUBLISHED["jsonl"]):
        try:
            for each in read_given(record.fields, record.where, known.get, codec, between):
                tokens = len(codec.prompt(each.problem.question)) + len(each.solution.ids) + 1
                if not each.solution.steps:
                    left_out.setdefault("without a step", []).append(record.where)
                elif tokens > context:
                    left_out.setdefault(f"longer than model.context, {context} tokens", []).append(record.where)
                else:
                    given.append(each)
        except ModelError as error:
            left_out.setdefault("not in the tokenizer's words or the code format", []).append(f"{record.where} ({error})")
    for reason, places in left_out.items():
        console.print(f"left out, {reason}: {len(places)}, first {places[0]}", markup=False)
    if not given:
        raise ProblemError(f"{file} has no solution that can be scored; see docs/credit.md for its form")
    return given


def find_models(run: RunDirectory, options: CreditOptions) -> tuple[dict[str, Path], dict[str, str]]:
    """(the folders to score with, by name; the reference of each model that is rewarded). Raises RunError."""
    own = {
        round_name(folder.name, current.number): (folder, current)
        for current in run.rounds
        for folder in (current.model(name) for name in current.models)
        if folder.is_dir()
    }
    places: dict[Path, str] = {folder: name for name, (folder, _) in own.items()}

    def folder_of(name: str) -> Path:
        path = Path(name).expanduser()
        if name in own:
            return own[name][0]
        if (path / "config.json").is_file() or (path / "adapter_config.json").is_file():
            return path
        raise RunError(f'no model "{name}"; there are: {", ".join((SFT_LOG_PROB, *own))}, or give a model\'s folder')

    folders: dict[str, Path] = {}
    references: dict[str, str] = {}
    for name in options.models:
        if name == SFT_LOG_PROB:
            folders["sft"] = folder_of("sft")
            continue
        folder = folder_of(name)
        reference = own[name][1].reference if name in own else folder_of(options.reference)
        other = places.get(reference, str(reference))
        folders |= {name: folder, other: reference}
        references[name] = other
    return folders, references


def score_all(worker: Worker, folders: dict[str, Path], rows: Sequence[Any], console: Console) -> dict[str, list[LogProbs]]:
    """The log-probs of all rows under each model, one model in memory at a time."""
    found: dict[str, list[LogProbs]] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("models", total=len(folders) * len(rows))
        for number, (name, folder) in enumerate(folders.items()):
            progress.update(bar, description=f"{name} ({number + 1} of {len(folders)})")
            before = number * len(rows)

            def report(done: int, total: int, before: int = before) -> None:
                progress.update(bar, completed=before + done)

            budget = worker.run.recipe.training.tokens_per_micro_batch
            found[name] = token_scores(worker.scorer(folder), rows, budget, report)
    return found
