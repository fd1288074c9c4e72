"""How fast a step on solution trees is, and how much memory it takes, against TRL's DPOTrainer on the same pairs in one run.

TRL's settings are tried first, and the comparison is with the fastest. Steps of both sides take turns, because a machine's
speed drifts over minutes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import psutil

from benchmarks.errors import BenchError
from benchmarks.training.sides import GB, Job, StepFigures, run_side, trl_records

Report = Callable[[str], None]
ROOM = 0.95
"""The share of the free memory that a setting may be expected to fill."""
PATIENCE = 20
"""Seconds that a side has to end by itself."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How one side fared: pairs computed at once (0: ours), the steps after the warm-up, and why there are none."""

    pairs_a_forward: int
    steps: tuple[StepFigures, ...] = ()
    note: str = ""

    @property
    def seconds(self) -> float:
        return statistics.median(step.seconds for step in self.steps)

    @property
    def peak(self) -> float:
        return max(step.peak for step in self.steps)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a step computes on average: tokens of trees, tokens of the same pairs as rows, and tokens that a loss counts."""

    trees: float
    pairs: float
    counted: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides over the same steps; `tried`: TRL's settings, a step each after one to warm up."""

    pairs: int
    ours: Setting
    trl: Setting
    tried: tuple[Setting, ...]
    tokens: Tokens

    @property
    def speed_ratios(self) -> list[float]:
        """Our pairs a second over TRL's, a step each."""
        return [theirs.seconds / own.seconds for own, theirs in zip(self.ours.steps, self.trl.steps, strict=True)]

    @property
    def speed_ratio(self) -> float:
        return self.trl.seconds / self.ours.seconds

    @property
    def memory_ratio(self) -> float:
        return self.ours.peak / self.trl.peak

    @property
    def loss_difference(self) -> float:
        """The largest relative difference between both sides' losses at the same step."""
        return max(abs(own.loss / theirs.loss - 1) for own, theirs in zip(self.ours.steps, self.trl.steps, strict=True))


def compare(job: Job, warm_up: int, forwards: Sequence[int], report: Report = lambda text: None) -> Comparison:
    """Train the job's steps on both sides and count all but the first `warm_up` (at least one), in which memory grows.

    forwards: TRL's settings to try, in pairs computed at once; such as do not divide a step's pairs, or would not fit the
    memory, are left out. Raises BenchError where a side ends before its time.
    """
    pairs = len(job.steps[0][0].pairs) * job.trees
    tried: list[Setting] = []
    for forward in sorted(count for count in set(forwards) if pairs % count == 0):
        if (need := expected_memory(tried, forward)) > ROOM * psutil.virtual_memory().available / GB:
            tried.append(Setting(forward, note=f"left out: about {need:.0f} GB, more than is free here"))
            continue
        report(f"TRL, {forward} of {pairs} pairs at once")
        with side(replace(job, rows=job.rows[: 2 * job.trees], pairs_a_forward=forward)) as line:
            one_step(line)
            tried.append(Setting(forward, (one_step(line),)))
    best = min((setting for setting in tried if setting.steps), key=lambda setting: setting.seconds).pairs_a_forward
    figures: dict[int, list[StepFigures]] = {0: [], best: []}
    with side(job) as own, side(replace(job, pairs_a_forward=best)) as theirs:
        for number in range(1, len(job.steps) + 1):
            for forward, line in ((0, own), (best, theirs)):
                report(f"step {number} of {len(job.steps)}: {'TRL' if forward else 'scdpo'}")
                figures[forward].append(one_step(line))
    ours, trl = (Setting(forward, tuple(found[warm_up:])) for forward, found in figures.items())
    counted = replace(job, rows=job.rows[warm_up * job.trees :])
    return Comparison(pairs, ours, trl, tuple(tried), count_tokens(counted))


def expected_memory(tried: Sequence[Setting], forward: int) -> float:
    """The peak in GB that a setting will reach, on the straight line through the two before; 0 where they are not known."""
    known = [setting for setting in tried if setting.steps][-2:]
    if len(known) < 2:
        return 0.0
    first, second = known
    slope = (second.peak - first.peak) / (second.pairs_a_forward - first.pairs_a_forward)
    return second.peak + slope * (forward - second.pairs_a_forward)


@contextlib.contextmanager
def side(job: Job) -> Iterator[Connection]:
    """A side's process, ready to train."""
    context = multiprocessing.get_context("spawn")
    line, other = context.Pipe()
    process = context.Process(target=run_side, args=(job, other), daemon=True)
    process.start()
    other.close()
    try:
        receive(line)
        yield line
    finally:
        line.close()  # the side ends by itself when nobody listens
        process.join(timeout=PATIENCE)
        process.kill()
        process.join()


def one_step(line: Connection) -> StepFigures:
    line.send(True)
    figures = receive(line)
    assert isinstance(figures, StepFigures)
    return figures


def receive(line: Connection) -> StepFigures | float:
    try:
        return line.recv()
    except EOFError as error:
        raise BenchError("a side of the bench ended before its time; its last words are above") from error


def count_tokens(job: Job) -> Tokens:
    steps = len(job.steps)
    pairs = sum(2 * len(ids["prompt_ids"]) + len(ids["chosen_ids"]) + len(ids["rejected_ids"]) for ids in trl_records(job.rows))
    counted = sum(len({index for pair in row.pairs for index in (*pair.chosen, *pair.rejected)}) for row in job.rows)
    return Tokens(sum(map(len, job.rows)) / steps, pairs / steps, counted / steps)
