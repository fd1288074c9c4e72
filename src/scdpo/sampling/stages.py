"""Naive sampling and forking of a block of problems: the stages' functions.

What a block yields depends on its problems, the settings, the model and the engine, and on nothing that ran before it.
Knows engines and policies; knows no run directory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from scdpo.engines.interface import Engine
from scdpo.problems.problem import Problem
from scdpo.sampling.continuation import SamplingRules
from scdpo.sampling.driver import Attempt, Attempts, CodeRunner, Rollout, run_all
from scdpo.sampling.policies import (
    ForkTry,
    ProblemSamples,
    answer_once,
    choose_forks,
    naive_tree,
    sample_naive,
    until_wrong,
)
from scdpo.sampling.settings import ForkSettings, SamplingSettings
from scdpo.seeds import derive_seed
from scdpo.solutions.solution import Solution
from scdpo.solutions.tree import SolutionTree

T = TypeVar("T")
IN_FLIGHT_PER_ROW = 2
Report = Callable[[int], None]


def unheard(done: int) -> None:
    """Reports to nobody."""


@dataclass(frozen=True, slots=True)
class Solver:
    """What solves problems: an engine over a model, the rules, how many rows are decoded at once, the sandbox for code."""

    engine: Engine
    rules: SamplingRules
    rows: int
    sandbox: CodeRunner | None = None


def run_block(rollouts: Iterable[Rollout[T]], engine: Engine, rows: int, report: Report, sandbox: CodeRunner | None) -> list[T]:
    """The results of a block's rollouts, from an engine as new: as many at once as keep its rows busy, and no more than there
    may be sessions."""
    engine.reset()
    most = rows * IN_FLIGHT_PER_ROW if sandbox is None else min(rows * IN_FLIGHT_PER_ROW, sandbox.most_sessions)
    return run_all(rollouts, engine, most, report, sandbox, ahead=min(rows, most))


@dataclass(frozen=True, slots=True)
class ForkedProblem:
    """All that forking made of one problem.

    tree: the trunk with its naive branch and its step-controlled ones, None where the problem has no naive pair; tries: one
    a fork; further: naive samples drawn after those of the sampling stage, for as many naive pairs as the tree has.
    """

    problem: str
    tree: SolutionTree | None
    tries: tuple[ForkTry, ...] = ()
    further: tuple[Solution, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "problem": self.problem,
            "tree": self.tree and self.tree.to_json(),
            "tries": [attempt.to_json() for attempt in self.tries],
            "further": [sample.to_json() for sample in self.further],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ForkedProblem:
        return cls(
            record["problem"],
            record["tree"] and SolutionTree.from_json(record["tree"]),
            tuple(ForkTry.from_json(attempt) for attempt in record["tries"]),
            tuple(Solution.from_json(sample) for sample in record["further"]),
        )


def sample_block(
    problems: Sequence[Problem], solver: Solver, settings: SamplingSettings, report: Report = unheard
) -> list[ProblemSamples]:
    """D_naive's samples of a block, in the problems' order."""
    rollouts = (sample_naive(problem, settings.temperature, settings.max_samples, solver.rules) for problem in problems)
    return run_block(rollouts, solver.engine, solver.rows, report, solver.sandbox)


def fork_block(
    problems: Sequence[Problem],
    samples: Sequence[ProblemSamples],
    solver: Solver,
    sampling: SamplingSettings,
    settings: ForkSettings,
    report: Report = unheard,
) -> list[ForkedProblem]:
    """D_SC's continuations of a block and the further naive samples that equal data need, in the problems' order.

    samples: the same problems' records of `sample_block`.
    """
    rollouts = (
        fork_problem(problem, record, solver.rules, sampling, settings)
        for problem, record in zip(problems, samples, strict=True)
    )
    return run_block(rollouts, solver.engine, solver.rows, report, solver.sandbox)


def fork_problem(
    problem: Problem,
    samples: ProblemSamples,
    rules: SamplingRules,
    sampling: SamplingSettings,
    settings: ForkSettings,
) -> Rollout[ForkedProblem]:
    """Fork the problem's trunk, then sample until it has as many naive pairs as its tree has branches."""
    tree = naive_tree(problem, samples, rules)
    if tree is None:
        return ForkedProblem(problem.id, None)
    tries, branches = [], list(tree.branches)
    trunk, forks = tree.trunk, choose_forks(tree.trunk, problem.id, settings.choice, settings.forks_per_solution, rules.seed)
    searches = Attempts(
        lambda number: until_wrong(problem, trunk, forks[number], settings.ramp, settings.attempts, rules),
        len(forks),
        all_wanted=True,
    )
    for number in range(len(forks)):
        attempt, branch = yield Attempt(searches, number)
        tries.append(attempt)
        if branch is not None:
            branches.append(branch)
    limit = len(samples.samples) + settings.further_samples
    further = yield from sample_naive(problem, sampling.temperature, limit, rules, pairs=len(branches), before=samples.samples)
    return ForkedProblem(problem.id, tree.only(branches), tuple(tries), further.samples)


def answer_block(
    problems: Sequence[Problem], solver: Solver, report: Report = unheard, temperature: float = 0.0, number: int = 0
) -> list[Solution]:
    """A solution of each problem of a block, in order: the greedy one, or the number-th of those sampled at a temperature
    above 0."""
    seeds = [(problem, derive_seed(solver.rules.seed, "answer", problem.id, number)) for problem in problems]
    rollouts = (answer_once(problem, temperature, seed, solver.rules) for problem, seed in seeds)
    return run_block(rollouts, solver.engine, solver.rows, report, solver.sandbox)
