"""The report as Markdown: the tables of the page, for reading in a terminal or an editor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from scdpo.problems.step_oracle import ERROR_KINDS
from scdpo.report.result import FALLING, LABELS, READING, Result, call, headline, label, percent, points, round_call


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left and the others to the right, aligned for reading as text."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(head))]

    def line(row: Sequence[str]) -> str:
        first, *others = zip(row, widths, strict=True)
        return f"| {' | '.join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])} |"

    rule = f"| {'-' * widths[0]} | {' | '.join('-' * (width - 1) + ':' for width in widths[1:])} |"
    return "\n".join([line(cells[0]), rule, *map(line, cells[1:])]) + "\n"


def tables(result: Result) -> str:
    """The result in tables: accuracies, differences with what they allow one to say, and rounds where there are several."""
    rounds = [f"{ROUNDS}\n", table(round_head(), round_rows(result))] if result.rounds else []
    return "\n".join(
        [
            f"Accuracy, greedy, {result.accuracy['sft'].n} held-out {result.split} problems; Wilson 95% intervals.\n",
            table(["model", "accuracy %", "trained on"], accuracy_rows(result)),
            f"Differences on the same problems, paired. {READING}\n",
            table(["models", "points", "reading"], difference_rows(result)),
            *rounds,
        ]
    )


def markdown_page(result: Result) -> str:
    """report.md."""
    sections = [
        f"# {result.name}: Step-Controlled DPO\n",
        f"## Result\n\n{tables(result)}\n{headline(result)}\n",
        "## Wrong answers\n\nShare of a model's wrong answers by the kind of the first wrong step (step oracle).\n",
        table(error_head(result), error_rows(result)),
        "Share of a model's wrong answers by the place of the first wrong step.\n",
        table(place_head(result), place_rows(result)) if error_places(result) else f"{UNJUDGED}\n",
        "## Data\n",
        table(["what", "count"], data_rows(result)),
        f"## Training\n\nMargins and log-probs (nats) as last logged. {FALLING}\n",
        table(training_head(), training_rows(result)),
        "## Stage times\n",
        table(["stage", "seconds"], [(name, f"{seconds:.0f}") for name, seconds in result.stage_seconds.items()]),
    ]
    return "\n".join(sections)


def accuracy_rows(result: Result) -> list[tuple[str, str, str]]:
    """(model, accuracy with interval, pairs or solutions that it was trained on)."""
    return [(LABELS[name], percent(accuracy), trained_on(result, name)) for name, accuracy in result.accuracy.items()]


def trained_on(result: Result, name: str) -> str:
    """What a model's training saw, in the form of the paper's Table 1: naive + step-controlled."""
    pairs = result.pairs.get(name)
    if pairs is None:
        return f"{result.recipe['problems']['sft']} worked solutions"
    if "chosen_solutions" in pairs:
        return f"{pairs['chosen_solutions']} chosen solutions"
    controlled = f" + {pairs['step_controlled']} step-controlled" if pairs["step_controlled"] else ""
    return f"{pairs['naive']} naive{controlled} pairs"


def difference_rows(result: Result) -> list[tuple[str, str, str]]:
    """(models, difference with interval, what it allows one to say)."""
    rows = []
    for name, value in result.differences.items():
        second, first = name.split(" - ")
        rows.append((f"{LABELS[second]} - {LABELS[first]}", points(value), call(value, second, first)))
    return rows


def round_head() -> list[str]:
    return ["round", "accuracy %", "- start, points", "reading", "- SFT, points", "pairs", "start, sampled %"]


def round_rows(result: Result) -> list[list[str]]:
    """Each round's model, what it gained on the one that it started from and on the SFT model, and what it was trained on."""
    return [
        [
            str(each.number),
            percent(each.accuracy),
            points(each.from_start),
            round_call(each),
            points(each.from_sft),
            f"{each.pairs['naive']} naive + {each.pairs['step_controlled']} step-controlled",
            percent(each.sampled),
        ]
        for each in result.rounds
    ]


def error_rows(result: Result) -> list[list[str]]:
    """Shares of each model's wrong answers by kind of error, with the counts of wrong and undecided answers."""
    return [
        [
            LABELS[name],
            str(errors.wrong),
            *(share(errors.by_kind.get(kind, 0), errors.wrong) for kind in error_kinds(result)),
            str(sum(errors.undecided.values())),
        ]
        for name, errors in result.errors.items()
    ]


def error_head(result: Result) -> list[str]:
    return ["model", "wrong", *error_kinds(result), "undecided"]


def error_kinds(result: Result) -> Sequence[str]:
    """The kinds that the oracle tells apart; none where it could judge nothing."""
    return ERROR_KINDS if error_places(result) else ()


def error_places(result: Result) -> list[int]:
    return sorted({place for errors in result.errors.values() for place in errors.by_step})


def place_head(result: Result) -> list[str]:
    return ["model", *(f"step {place}" for place in error_places(result))]


def place_rows(result: Result) -> list[list[str]]:
    places = error_places(result)
    return [
        [LABELS[name], *(share(errors.by_step.get(place, 0), errors.wrong) for place in places)]
        for name, errors in result.errors.items()
    ]


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"


def data_rows(result: Result) -> list[tuple[str, str]]:
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
    return [(name, str(value)) for name, value in rows]


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


def training_head() -> list[str]:
    return ["model", *TRAINING_FACTS.values(), *TRAINING_FIGURES.values()]


def training_rows(result: Result) -> list[list[str]]:
    """The facts of each training, its log's last line, and what was logged last before them."""
    rows = []
    for name, log in result.training.items():
        if log:
            *logged, facts = log
            figures = logged[-1] if logged else {}
            cells = [*(facts.get(key, "") for key in TRAINING_FACTS), *(figures.get(key, "") for key in TRAINING_FIGURES)]
            rows.append([label(name), *map(shown, cells)])
    return rows


def shown(value: Any) -> str:
    """A fact as a cell: numbers short, counts by name as a list."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items()) or "0"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


ROUNDS = (
    "SCDPO by round, on the same problems, paired. A round starts from the model of the one before, the first from SFT. "
    "Sampled: that start's accuracy at the sampling temperature, by the pair problems' first samples. "
    "What is said of wrong answers, trees and data is of round 1."
)
UNJUDGED = "The problems carry no truth of their steps, so no step oracle says where and why an answer went wrong."
WHERE = {
    "at": "right after the fork",
    "later": "later after the fork",
    "before": "before the fork",
    "none": "nowhere (by the oracle)",
}
