"""The sampling policies as rollouts: naive, step-controlled, single answers. They know no engine and no files."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from scdpo.engines.temperature import TemperatureRamp
from scdpo.problems.problem import Problem
from scdpo.sampling.continuation import REPLAY_DIFFERS, ReplayDiffers, SamplingRules, continue_solution
from scdpo.sampling.driver import Attempt, Attempts, Rollout
from scdpo.seeds import derive_seed
from scdpo.solutions.solution import Solution
from scdpo.solutions.tree import Branch, SolutionTree
from scdpo.solutions.verdict import Verdict

ForkChoice = Literal["uniform", "every"]


@dataclass(frozen=True, slots=True)
class ProblemSamples:
    """All naive samples of one problem, in the order in which they were drawn.

    skipped: why there are none, empty where there are.
    """

    problem: str
    samples: tuple[Solution, ...]
    skipped: str = ""

    def to_json(self) -> dict[str, Any]:
        samples = [sample.to_json() for sample in self.samples]
        return {"problem": self.problem, "samples": samples} | ({"skipped": self.skipped} if self.skipped else {})

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ProblemSamples:
        samples = tuple(Solution.from_json(sample) for sample in record["samples"])
        return cls(record["problem"], samples, record.get("skipped", ""))


@dataclass(frozen=True, slots=True)
class ForkTry:
    """What became of one fork: how many continuations were sampled, and why those before the last were not used.

    found: whether the last one went wrong and became a branch.
    """

    fork: int
    attempts: int
    found: bool
    unused: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"fork": self.fork, "attempts": self.attempts, "found": self.found, "unused": dict(self.unused)}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ForkTry:
        return cls(**record)


def sample_naive(
    problem: Problem,
    temperature: float,
    limit: int,
    rules: SamplingRules,
    pairs: int = 1,
    before: Sequence[Solution] = (),
) -> Rollout[ProblemSamples]:
    """Sample whole solutions until there are `pairs` preferred and as many different wrong ones, or `limit` in all.

    The paper's D_naive has pairs = 1 (section 3.1). `before`: samples already drawn; the new ones follow on and the record
    holds only these. Preferred solutions need not differ from each other: a trunk may carry many branches.
    """
    unfit = rules.unfit(problem)
    if unfit:
        return ProblemSamples(problem.id, (), unfit)
    ramp = TemperatureRamp.constant(temperature)
    drawn = list(before)
    preferred = sum(rules.is_preferred(sample) for sample in drawn)
    wrong = {sample.ids for sample in drawn if sample.verdict.is_wrong}
    attempts = Attempts(
        lambda number: continue_solution(problem, (), ramp, derive_seed(rules.seed, problem.id, 0, number), rules), limit
    )
    while len(drawn) < limit and (preferred < 1 or len(wrong) < pairs):
        sample = yield Attempt(attempts, len(drawn))
        drawn.append(sample)
        preferred += rules.is_preferred(sample)
        if sample.verdict.is_wrong:
            wrong.add(sample.ids)
    return ProblemSamples(problem.id, tuple(drawn[len(before) :]))


def until_wrong(
    problem: Problem, trunk: Solution, fork: int, ramp: TemperatureRamp, attempts: int, rules: SamplingRules
) -> Rollout[tuple[ForkTry, Branch | None]]:
    """Continue `trunk` after `fork` steps until an answer is wrong, or `attempts` times (section 3.1).

    A fork whose kept code prints something else when it runs again is given up.
    """
    unused: Counter[str] = Counter()
    kept = trunk.steps[:fork]
    tries = Attempts(
        lambda number: continue_solution(problem, kept, ramp, derive_seed(rules.seed, problem.id, fork, number), rules),
        attempts,
    )
    for attempt in range(attempts):
        try:
            solution = yield Attempt(tries, attempt)
        except ReplayDiffers:
            unused[REPLAY_DIFFERS] += 1
            return ForkTry(fork, attempt + 1, False, dict(unused)), None
        if solution.verdict.is_wrong:
            branch = Branch(fork, solution.steps[fork:], solution.verdict)
            return ForkTry(fork, attempt + 1, True, dict(unused)), branch
        unused[solution.verdict.reason or solution.verdict.outcome] += 1
    return ForkTry(fork, attempts, False, dict(unused)), None


def choose_forks(trunk: Solution, problem: str, choice: ForkChoice, count: int, seed: int) -> tuple[int, ...]:
    """Where to fork: every step that may be forked at, or `count` different ones drawn uniformly (section 3.1)."""
    forks = trunk.forks
    if choice == "every" or count >= len(forks):
        return tuple(forks)
    return tuple(sorted(random.Random(derive_seed(seed, problem, "forks")).sample(list(forks), count)))


def answer_once(problem: Problem, temperature: float, seed: int, rules: SamplingRules) -> Rollout[Solution]:
    """One whole solution, sampled at `temperature`; at 0 the greedy one, as in the paper's evaluation."""
    unfit = rules.unfit(problem)
    if unfit:
        return Solution((), Verdict("undecided", None, unfit))
    return (yield from continue_solution(problem, (), TemperatureRamp.constant(temperature), seed, rules))


def naive_tree(problem: Problem, samples: ProblemSamples, rules: SamplingRules) -> SolutionTree | None:
    """The problem's naive pair as a tree: its first preferred solution and its first wrong one. None where one is missing."""
    trunk = next((sample for sample in samples.samples if rules.is_preferred(sample)), None)
    wrong = next((sample for sample in samples.samples if sample.verdict.is_wrong), None)
    if trunk is None or wrong is None:
        return None
    return SolutionTree(problem.id, problem.question, trunk, (Branch(0, wrong.steps, wrong.verdict),), problem.answer)
