"""What a report is made from: the figures of one run, gathered by run. Knows no files and no format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from scdpo.credit.record import COMPARED, SFT_LOG_PROB, CreditedSolution
from scdpo.evaluation.errors import ErrorBreakdown
from scdpo.evaluation.statistics import Estimate

if TYPE_CHECKING:
    from scdpo.credit.localisation import Localisation
    from scdpo.evaluation.temperature import TemperaturePoint

LABELS = {"sft": "SFT", "rft": "RFT", "dpo": "DPO", "dpo-data-equal": "DPO (data-equal)", "scdpo": "SCDPO"}
DIFFERENCES = tuple(("sft" if first == SFT_LOG_PROB else first, second) for first, second in COMPARED)
READING = (
    "95% intervals by paired bootstrap over problems, p by McNemar's exact test, of models trained once: another seed gives "
    "other models. Not resolved: the interval includes zero, or p is 0.05 or more."
)
FALLING = (
    "Log-probs of chosen ends may fall while the margin grows: the loss asks only that the rejected ones fall further. A small "
    "fall is usual. A steep one with a loss of accuracy asks for a larger training.beta or a smaller training.lr; "
    "training.loss.positive and training.loss.sft hold the chosen ends up (docs/loss.md)."
)


@dataclass(frozen=True, slots=True)
class TreeView:
    """A solution tree as the page shows it: texts, temperatures, verdicts, the first wrong step of each branch."""

    problem: str
    question: str
    answer: str
    trunk: Sequence[Mapping[str, Any]]
    branches: Sequence[Mapping[str, Any]]
    tries: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class RoundFigures:
    """What a round's `scdpo` comes to, against the model that the round started from and against the SFT model.

    sampled: accuracy of the model that the round started from, at the sampling temperature: of each problem's first sample,
    because how many more are drawn depends on whether they are right.
    """

    number: int
    accuracy: Estimate
    from_start: Estimate
    from_sft: Estimate
    pairs: Mapping[str, int]
    sampled: Estimate

    def to_json(self) -> dict[str, Any]:
        return {
            "round": self.number,
            **self.accuracy.counted_json("accuracy"),
            "difference_to_start": self.from_start.paired_json(),
            "difference_to_sft": self.from_sft.paired_json(),
            "pairs": self.pairs,
            "start_sampled": self.sampled.counted_json("accuracy"),
        }


@dataclass(frozen=True, slots=True)
class SetFigures:
    """What the models come to on one of several test sets."""

    accuracy: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]

    def to_json(self) -> dict[str, Any]:
        return {
            "models": {name: value.counted_json("accuracy") for name, value in self.accuracy.items()},
            "differences": {name: value.paired_json() for name, value in self.differences.items()},
        }


@dataclass(frozen=True, slots=True)
class Result:
    """All that a report says. Accuracies and differences are shares with 95% intervals; times are in seconds."""

    name: str
    split: str
    accuracy: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    errors: Mapping[str, ErrorBreakdown]
    pairs: Mapping[str, Mapping[str, int]]
    sampling: Mapping[str, Any]
    forking: Mapping[str, Any]
    stage_seconds: Mapping[str, float]
    recipe: Mapping[str, Any]
    manifest: Mapping[str, Any]
    training: Mapping[str, Sequence[Mapping[str, Any]]]
    trees: Sequence[TreeView]
    rounds: Sequence[RoundFigures] = ()
    """Of a run of several rounds. All else is of the first, but for the training logs, which are of all."""
    localisation: Localisation | None = None
    """None where no wrong solutions were credited, or where no oracle says which step is wrong."""
    credited: Sequence[CreditedSolution] = ()
    """Wrong solutions to look at, with the values of every score."""
    temperatures: Mapping[str, Sequence[TemperaturePoint]] = field(default_factory=dict)
    """Model -> points by rising temperature."""
    sets: Mapping[str, SetFigures] = field(default_factory=dict)
    """Of a run with several test sets: each of them. All else is of their problems together."""
    more_trees: int = 0
    more_credited: int = 0
    """How many the run has beyond those shown."""

    def to_json(self) -> dict[str, Any]:
        """results.json, as docs/run-directory.md describes it. What a run has not done has no key."""
        errors = {name: {"errors": asdict(each)} for name, each in self.errors.items()}
        parts = {
            "sets": {name: each.to_json() for name, each in self.sets.items()},
            "rounds": [each.to_json() for each in self.rounds],
            "localisation": self.localisation.to_json() if self.localisation else None,
            "temperature": {model: [each.to_json() for each in points] for model, points in self.temperatures.items()},
        }
        return {
            "schema": 1,
            "run": self.name,
            "split": self.split,
            "models": {name: value.counted_json("accuracy") | errors[name] for name, value in self.accuracy.items()},
            "differences": {name: value.paired_json() for name, value in self.differences.items()},
            "pairs": self.pairs,
            "sampling": self.sampling,
            "forking": self.forking,
            "stage_seconds": self.stage_seconds,
            **{name: part for name, part in parts.items() if part},
        }


def on_problems(result: Result) -> str:
    """What accuracies and differences are of: 2000 held-out test problems."""
    return f"{result.accuracy['sft'].n} held-out {result.split} problems"


def percent(estimate: Estimate) -> str:
    """An accuracy with its interval, in percent: 68.4 [66.3, 70.4]."""
    return f"{100 * estimate.value:.1f} [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def points(estimate: Estimate) -> str:
    """A difference with its interval, in percentage points: +4.0 [+3.0, +5.0]."""
    return f"{100 * estimate.value:+.1f} [{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"


def fraction(estimate: Estimate) -> str:
    """A share that is not told in percent, with its interval: 0.712 [0.700, 0.724]."""
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def signed_fraction(estimate: Estimate) -> str:
    """A difference of such shares, with its interval: +0.012 [+0.001, +0.023]."""
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def p_text(p: float | None) -> str:
    """A p-value: 0.003, or <0.001."""
    if p is None:
        return ""
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def duration(seconds: float) -> str:
    """Wall time as a reader says it: 45 s, 12 min, 3.4 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def label(name: str) -> str:
    """What a model or a score is called in words: "scdpo.2" is SCDPO of round 2. A name that we did not give stays as it is."""
    model, _, number = name.partition(".")
    if model not in LABELS:
        return "SFT log-prob" if name == SFT_LOG_PROB else name
    return f"{LABELS[model]}, round {number}" if number else LABELS[model]


def difference_label(name: str) -> str:
    """ "scdpo - sft" in words: SCDPO - SFT."""
    return " - ".join(map(label, name.split(" - ")))


def call(estimate: Estimate, second: str, first: str) -> str:
    """What a paired difference allows one to say."""
    if not estimate.is_resolved:
        return "not resolved"
    return f"{label(second)} is {'better' if estimate.value > 0 else 'worse'} than {label(first)}"


def headline(result: Result) -> str:
    """One sentence on the run, and one on each later round: only what the intervals support."""
    against = ("sft", next((arm for arm in ("dpo-data-equal", "dpo", "rft") if arm in result.accuracy), "sft"))
    differences = {other: result.differences[f"scdpo - {other}"] for other in against}
    sentences = [
        *(
            f"SCDPO against {label(other)}: {points(value)} points, {call(value, 'scdpo', other)}."
            for other, value in differences.items()
        ),
        *(
            f"Round {each.number} against the one before: {points(each.from_start)} points, {round_call(each)}."
            for each in result.rounds[1:]
        ),
    ]
    return " ".join(sentences)


def round_call(figures: RoundFigures) -> str:
    """What a round's difference to the model that it started from allows one to say."""
    if not figures.from_start.is_resolved:
        return "not resolved"
    than = "SFT" if figures.number == 1 else f"round {figures.number - 1}"
    return f"{'better' if figures.from_start.value > 0 else 'worse'} than {than}"
