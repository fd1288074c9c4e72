"""The tables of what the models can do: accuracies, differences, rounds, and what their wrong answers are made of."""

from __future__ import annotations

from scdpo.problems.step_oracle import ERROR_KINDS
from scdpo.report.result import (
    READING,
    Result,
    SetFigures,
    call,
    difference_label,
    label,
    on_problems,
    p_text,
    percent,
    points,
    round_call,
)
from scdpo.report.table import RESOLVED, SUPPORTED, Table, resolved_cells, supported_best

ROUNDS = (
    "SCDPO by round, on the same problems, paired. A round starts from the model of the one before, the first from SFT. "
    "Sampled: that start's accuracy at the sampling temperature, by the pair problems' first samples. "
    "What is said of wrong answers, trees and data is of round 1."
)
UNJUDGED = "The problems carry no truth of their steps, so no step oracle says where and why an answer went wrong."


def main_table(result: Result) -> Table:
    """Accuracies with what each training saw, in the form of the paper's Table 1."""
    best = supported_best(result.accuracy, result.differences)
    return Table(
        name="main",
        title=f"Accuracy, greedy, {on_problems(result)}.",
        head=("method", "accuracy %", "solutions", "naive pairs", "step-controlled pairs"),
        rows=tuple((label(name), percent(value), *trained_on(result, name)) for name, value in result.accuracy.items()),
        note=f"Wilson 95% intervals. Solutions: worked ones for SFT, chosen ones for RFT. {SUPPORTED}",
        strong=frozenset((row, 1) for row, name in enumerate(result.accuracy) if name == best),
    )


def trained_on(result: Result, name: str) -> tuple[str, str, str]:
    """How many solutions, naive and step-controlled pairs a model was trained on; nothing where its training knows none."""
    pairs = result.pairs.get(name)
    if pairs is None:
        wanted = result.recipe["problems"]["sft"]
        return str(result.training["sft"][-1]["solutions"] if wanted == "all" else wanted), "", ""
    if "chosen_solutions" in pairs:
        return str(pairs["chosen_solutions"]), "", ""
    return "", str(pairs["naive"]), str(pairs["step_controlled"] or "")


def difference_table(result: Result) -> Table:
    """The paired differences, with what each allows one to say."""
    rows = []
    for name, value in result.differences.items():
        second, first = name.split(" - ")
        rows.append((difference_label(name), points(value), p_text(value.p), call(value, second, first)))
    return Table(
        name="differences",
        title=f"Differences on the same {on_problems(result)}, paired.",
        head=("models", "points", "p", "reading"),
        rows=tuple(rows),
        note=f"{READING} {RESOLVED}",
        strong=resolved_cells([[value] for value in result.differences.values()], first=1),
    )


def set_tables(result: Result) -> list[Table]:
    """Accuracies and differences on each of several test sets, and on all of them together."""
    columns = {**result.sets, "together": SetFigures(result.accuracy, result.differences)}
    heads = [f"{name} ({each.accuracy['sft'].n})" for name, each in columns.items()]
    bests = [supported_best(each.accuracy, each.differences) for each in columns.values()]
    differences = [[each.differences[name] for each in columns.values()] for name in result.differences]
    accuracy = Table(
        name="sets",
        title=f"Accuracy in %, greedy, by test set ({result.split} problems of each).",
        head=("method", *heads),
        rows=tuple((label(name), *(percent(each.accuracy[name]) for each in columns.values())) for name in result.accuracy),
        note=f"Wilson 95% intervals. {SUPPORTED}",
        strong=frozenset(
            (row, 1 + n) for row, name in enumerate(result.accuracy) for n, best in enumerate(bests) if name == best
        ),
    )
    paired = Table(
        name="set-differences",
        title="Differences in points by test set, paired.",
        head=("models", *heads),
        rows=tuple(
            (difference_label(name), *map(points, row)) for name, row in zip(result.differences, differences, strict=True)
        ),
        note=f"{READING} {RESOLVED}",
        strong=resolved_cells(differences, first=1),
    )
    return [accuracy, paired]


def round_table(result: Result) -> Table:
    """Each round's model, what it gained on the one that it started from and on the SFT model, and what it was trained on."""
    rounds = result.rounds
    rows = {
        "accuracy %": [percent(each.accuracy) for each in rounds],
        "- start, points": [points(each.from_start) for each in rounds],
        "p against start": [p_text(each.from_start.p) for each in rounds],
        "reading": [round_call(each) for each in rounds],
        "- SFT, points": [points(each.from_sft) for each in rounds],
        "p against SFT": [p_text(each.from_sft.p) for each in rounds],
        "naive pairs": [str(each.pairs["naive"]) for each in rounds],
        "step-controlled pairs": [str(each.pairs["step_controlled"]) for each in rounds],
        "start, sampled %": [percent(each.sampled) for each in rounds],
    }
    differences = {"- start, points": [each.from_start for each in rounds], "- SFT, points": [each.from_sft for each in rounds]}
    return Table(
        name="rounds",
        title=f"Rounds, {on_problems(result)}.",
        head=("SCDPO", *(f"round {each.number}" for each in rounds)),
        rows=tuple((name, *cells) for name, cells in rows.items()),
        note=f"{ROUNDS} {RESOLVED}",
        strong=resolved_cells([differences.get(name, ()) for name in rows], first=1),
    )


def error_table(result: Result) -> Table:
    """Shares of each model's wrong answers by kind of error, with the counts of wrong and undecided answers."""
    kinds = ERROR_KINDS if error_places(result) else ()
    rows = [
        (
            label(name),
            str(errors.wrong),
            *(share(errors.by_kind.get(kind, 0), errors.wrong) for kind in kinds),
            str(sum(errors.undecided.values())),
        )
        for name, errors in result.errors.items()
    ]
    return Table(
        name="error-kinds",
        title=f"Wrong answers by the kind of the first wrong step, {on_problems(result)}.",
        head=("model", "wrong", *kinds, "undecided"),
        rows=tuple(rows),
        note="Kinds: shares of the model's wrong answers, by the step oracle." if kinds else UNJUDGED,
    )


def place_table(result: Result) -> Table:
    """Shares of each model's wrong answers by the place of the first wrong step."""
    places = error_places(result)
    rows = [
        (label(name), str(errors.wrong), *(share(errors.by_step.get(place, 0), errors.wrong) for place in places))
        for name, errors in result.errors.items()
    ]
    return Table(
        name="error-places",
        title=f"Wrong answers by the place of the first wrong step, {on_problems(result)}.",
        head=("model", "wrong", *(f"step {place}" for place in places)),
        rows=tuple(rows),
        note="Places: shares of the model's wrong answers, by the step oracle.",
    )


def error_places(result: Result) -> list[int]:
    """The places at which the oracle found first wrong steps; none where it could judge nothing."""
    return sorted({place for errors in result.errors.values() for place in errors.by_step})


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"
