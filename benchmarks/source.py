"""What the benchmarks of training and sampling share: the model and problems to measure with, and the number format."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from rich.console import Console

from benchmarks.command import Benchmark
from scdpo.precision import Precision, choose, imitation_note
from scdpo.problems.problem import Problem
from scdpo.problems.source import GENERATORS, read_source

CONTEXT = 2048


class ModelBench(Benchmark):
    """A benchmark that computes with a model on worked solutions."""

    model: str = "smollm2-135m"
    """A model's folder or hub name; the default is of its package."""
    data: str = "gsm_symbolic"
    """Worked solutions: a JSON-lines file, or gsm8k:FILE and the like (docs/problems.md)."""
    precision: Precision = "float32"
    """Of all sides."""


def known_precision(precision: Precision, device: str, console: Console) -> Precision:
    """The number format to measure in; says what "auto" came to, and what bfloat16 costs where it is imitated."""
    if precision == "auto":
        choice = choose(device)
        console.print(f'precision "auto": {choice.taken}; {choice.why}', markup=False)
        return choice.taken
    if precision == "bfloat16" and (note := imitation_note(device)):
        console.print(f'precision "bfloat16": {note}', markup=False)
    return precision


def worked_problems(source: str, count: int) -> Iterator[Problem]:
    """Problems with worked solutions: all of a file, at most `count` of a generator."""
    if source not in GENERATORS:
        return iter(read_source(source)[0])
    return (problem for _, problem in itertools.islice(GENERATORS[source](0), count))
