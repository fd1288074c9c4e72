"""The tables of a report, as texts in rows: one set, which the terminal, report.md, the page and the exports all show.

Knows what a table says and which of its cells the intervals allow to stand out. Knows no format (see markdown, latex and page).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scdpo.credit.localisation import Localisation
from scdpo.evaluation.statistics import Estimate
from scdpo.evaluation.temperature import TemperaturePoint
from scdpo.problems.step_oracle import ERROR_KINDS
from scdpo.report.result import (
    READING,
    Result,
    call,
    difference_label,
    fraction,
    label,
    p_text,
    percent,
    points,
    round_call,
    signed_fraction,
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table: a name for files and links, a title, a head, and rows of texts, the first cell of each naming the row.

    strong: (row, column), both from 0, of the cells that stand out; a cell does so only where an interval supports it, by the rule
    that the note tells.
    """

    name: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    strong: frozenset[tuple[int, int]] = frozenset()


ROUNDS = (
    "SCDPO by round, on the same problems, paired. A round starts from the model of the one before, the first from SFT. "
    "Sampled: that start's accuracy at the sampling temperature, by the pair problems' first samples. "
    "What is said of wrong answers, trees and data is of round 1."
)
UNJUDGED = "The problems carry no truth of their steps, so no step oracle says where and why an answer went wrong."
SUPPORTED = "Bold: the highest, where it is compared to every other and each difference is resolved in its favour."
RESOLVED = "Bold: resolved."
SCORED = (
    "A score finds the error where its lowest step, or its lowest token, is the first wrong one. Token AUROC: of a token of the "
    "first wrong step against one before it, how often the former is lower. A model's score is its implicit reward (Eq. 7). "
    "95% intervals by bootstrap over problems."
)
GARBLED = "Garbled: no answer can be read, or it is only guessed at, or a step is malformed."


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


def on_problems(result: Result) -> str:
    return f"{result.accuracy['sft'].n} held-out {result.split} problems"


def trained_on(result: Result, name: str) -> tuple[str, str, str]:
    """How many solutions, naive and step-controlled pairs a model was trained on; nothing where its training knows none."""
    pairs = result.pairs.get(name)
    if pairs is None:
        return str(result.recipe["problems"]["sft"]), "", ""
    if "chosen_solutions" in pairs:
        return str(pairs["chosen_solutions"]), "", ""
    return "", str(pairs["naive"]), str(pairs["step_controlled"] or "")


def supported_best(values: Mapping[str, Estimate], differences: Mapping[str, Estimate]) -> str | None:
    """The name of the highest value, where every other one is compared to it and each difference is resolved in its favour.

    differences: "B - A" -> B - A.
    """
    best = max(values, key=lambda name: values[name].value)
    signs = ((f"{best} - {other}", f"{other} - {best}") for other in values if other != best)
    for over, under in signs:
        if over in differences:
            wins = differences[over].is_resolved and differences[over].value > 0
        else:
            wins = under in differences and differences[under].is_resolved and differences[under].value < 0
        if not wins:
            return None
    return best


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


def resolved_cells(estimates: Sequence[Sequence[Estimate]], first: int) -> frozenset[tuple[int, int]]:
    """The cells of resolved differences. estimates: by row, from column `first` on."""
    return frozenset(
        (row, first + column) for row, each in enumerate(estimates) for column, value in enumerate(each) if value.is_resolved
    )


def round_table(result: Result) -> Table:
    """Each round's model, what it gained on the one that it started from and on the SFT model, and what it was trained on."""
    rows = [
        (
            str(each.number),
            percent(each.accuracy),
            points(each.from_start),
            p_text(each.from_start.p),
            round_call(each),
            points(each.from_sft),
            p_text(each.from_sft.p),
            str(each.pairs["naive"]),
            str(each.pairs["step_controlled"]),
            percent(each.sampled),
        )
        for each in result.rounds
    ]
    over = [(each.from_start, each.from_sft) for each in result.rounds]
    strong = {(row, 2 + 3 * column) for row, column in resolved_cells(over, first=0)}
    head = ("round", "accuracy %", "- start", "p", "reading", "- SFT", "p", "naive pairs", "step-controlled pairs", "start, sampled %")
    return Table(
        name="rounds",
        title=f"Rounds, {on_problems(result)}.",
        head=head,
        rows=tuple(rows),
        note=f"{ROUNDS} Differences in points. {RESOLVED}",
        strong=frozenset(strong),
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


def temperature_tables(result: Result) -> list[Table]:
    """Accuracy, and the share of garbled solutions, by temperature and model."""

    def table(name: str, title: str, figure: Callable[[TemperaturePoint], Estimate], note: str) -> Table:
        studied = result.temperatures
        cells = {model: {each.temperature: percent(figure(each)) for each in points} for model, points in studied.items()}
        n = max(figure(each).n for points in studied.values() for each in points)
        every = sorted({at for points in cells.values() for at in points})
        return Table(
            name=name,
            title=f"{title}, {n} {result.split} problems, one sample each.",
            head=("temperature", *(f"{label(model)} %" for model in studied)),
            rows=tuple((f"{at:g}", *(points.get(at, "") for points in cells.values())) for at in every),
            note=f"Wilson 95% intervals. {note}".strip(),
        )

    return [
        table("temperature", "Accuracy by temperature", lambda point: point.accuracy, "Temperature 0 is greedy."),
        table("temperature-garbled", "Garbled solutions by temperature", lambda point: point.garbled, GARBLED),
    ]


def localisation_tables(result: Result, found: Localisation) -> list[Table]:
    """How well each score finds the first wrong step, and how the scores differ on the same solutions."""
    over = f"{found.solutions} wrong solutions of {found.problems} {result.split} problems"
    head = ("first wrong step %", "lowest token %", "token AUROC")
    best = [
        supported_best(
            {score: values[figure] for score, values in found.scores.items()},
            {name: values[figure] for name, values in found.differences.items()},
        )
        for figure in ("first_wrong_step", "lowest_token", "token_auroc")
    ]
    scores = [
        (label(score), percent(each["first_wrong_step"]), percent(each["lowest_token"]), fraction(each["token_auroc"]))
        for score, each in found.scores.items()
    ]
    guess = found.chance
    by_chance = (f"{100 * guess['first_wrong_step']:.1f}", f"{100 * guess['lowest_token']:.1f}", f"{guess['token_auroc']:.3f}")
    differences = [
        (
            difference_label(name),
            points(each["first_wrong_step"]),
            points(each["lowest_token"]),
            signed_fraction(each["token_auroc"]),
        )
        for name, each in found.differences.items()
    ]
    compared = [(each["first_wrong_step"], each["lowest_token"], each["token_auroc"]) for each in found.differences.values()]
    tables = [
        Table(
            name="localisation",
            title=f"How often a score finds the first wrong step, {over}.",
            head=("score", *head),
            rows=(*scores, ("chance", *by_chance)),
            note=f"{SCORED} {SUPPORTED}",
            strong=frozenset(
                (row, column) for column, name in enumerate(best, start=1) for row, score in enumerate(found.scores) if score == name
            ),
        ),
        Table(
            name="localisation-differences",
            title=f"Differences between scores on the same {over}.",
            head=("scores", "first wrong step, points", "lowest token, points", "token AUROC"),
            rows=tuple(differences),
            note="95% intervals by paired bootstrap over problems. Bold: the interval leaves zero out.",
            strong=resolved_cells(compared, first=1),
        ),
    ]
    return tables if differences else tables[:1]
