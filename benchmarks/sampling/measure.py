"""How fast sampling is: correct-and-wrong pairs a minute and tokens a second of several engines on the same work, in one run.

Every side runs the same rollouts, with the same grading. Sides take turns, because a machine's speed drifts over minutes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.errors import BenchError
from scdpo.engines.interface import Completion, Engine, Generate
from scdpo.engines.temperature import TemperatureRamp
from scdpo.errors import ModelError
from scdpo.problems.problem import Problem
from scdpo.sampling.continuation import SamplingRules
from scdpo.sampling.driver import Attempt, Attempts, Rollout
from scdpo.sampling.policies import sample_naive, until_wrong
from scdpo.sampling.stages import run_block
from scdpo.solutions.solution import Solution
from scdpo.solutions.verdict import Verdict

Work = Literal["naive", "fork"]
Report = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Case:
    """A problem with its worked solution, which is the trunk, and where this is forked: in the second half of its forks."""

    problem: Problem
    trunk: Solution
    forks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is sampled. samples: the most of a problem; attempts: the most continuations from a fork."""

    samples: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What a side came to: problems done, pairs, requests, tokens generated, tokens of all prompts asked, seconds."""

    problems: int = 0
    pairs: int = 0
    requests: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: Figures) -> Figures:
        return Figures(
            self.problems + other.problems,
            self.pairs + other.pairs,
            self.requests + other.requests,
            self.tokens + other.tokens,
            self.prompt_tokens + other.prompt_tokens,
            self.seconds + other.seconds,
        )

    @property
    def problems_a_minute(self) -> float:
        return 60 * self.problems / self.seconds

    @property
    def pairs_a_minute(self) -> float:
        return 60 * self.pairs / self.seconds

    @property
    def tokens_a_second(self) -> float:
        return self.tokens / self.seconds


class Metered:
    """An engine that counts what goes through it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.requests = self.tokens = self.prompt_tokens = 0

    def submit(self, ticket: int, request: Generate) -> None:
        self.requests, self.prompt_tokens = self.requests + 1, self.prompt_tokens + len(request.ids)
        self.engine.submit(ticket, request)

    def cancel(self, ticket: int) -> None:
        self.engine.cancel(ticket)

    def advance(self) -> list[tuple[int, Completion]]:
        done = self.engine.advance()
        self.tokens += sum(len(completion.ids) for _, completion in done)
        return done

    def reset(self) -> None:
        self.engine.reset()


def make_cases(problems: Iterable[Problem], count: int, forks: int, rules: SamplingRules) -> list[Case]:
    """The first `count` problems whose worked solution has forks. Raises BenchError where there are not so many."""
    cases: list[Case] = []
    for problem in problems:
        if len(cases) == count:
            break
        try:
            rules.codec.prompt(problem.question)
            trunk = Solution(rules.codec.read(problem.solution or ""), Verdict("correct", problem.answer))
        except ModelError:
            continue
        late = list(trunk.forks)[len(trunk.forks) // 2 :]
        if late and len(trunk.ids) < rules.max_new_tokens and rules.unfit(problem) is None:
            cases.append(Case(problem, trunk, tuple(late[-forks:])))
    if len(cases) < count:
        raise BenchError(f"{len(cases)} of {count} problems with worked solutions that can be forked and fit; give more")
    return cases


def measure(
    work: Work,
    cases: Sequence[Case],
    engine: Engine,
    rules: SamplingRules,
    amount: Amount,
    rows: int,
    report: Report = lambda done: None,
) -> Figures:
    """One side's figures on some cases: wrong continuations of forks, or problems with a correct and a wrong sample."""
    metered = Metered(engine)
    began = time.perf_counter()
    rollouts = [naive_pair(case, amount, rules) if work == "naive" else fork_pairs(case, amount, rules) for case in cases]
    pairs = sum(run_block(rollouts, metered, rows, report, None))
    seconds = time.perf_counter() - began
    return Figures(len(cases), pairs, metered.requests, metered.tokens, metered.prompt_tokens, seconds)


def naive_pair(case: Case, amount: Amount, rules: SamplingRules) -> Rollout[int]:
    """1 where a problem gets both a correct and a wrong solution."""
    record = yield from sample_naive(case.problem, 1.0, amount.samples, rules)
    right = any(rules.is_preferred(sample) for sample in record.samples)
    return int(right and any(sample.verdict.is_wrong for sample in record.samples))


def fork_pairs(case: Case, amount: Amount, rules: SamplingRules) -> Rollout[int]:
    """How many forks of a trunk went wrong."""
    found = 0
    searches = Attempts(
        lambda number: until_wrong(case.problem, case.trunk, case.forks[number], TemperatureRamp(), amount.attempts, rules),
        len(case.forks),
        all_wanted=True,
    )
    for number in range(len(case.forks)):
        attempt, _ = yield Attempt(searches, number)
        found += attempt.found
    return found
