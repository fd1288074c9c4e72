"""How many solutions, pairs and tokens a recipe comes to, from how often its model is right. Knows no model and no memory.

A problem's chance of a right answer differs from problem to problem: it is taken to follow a Beta distribution of a mean
(the accuracy) and a concentration; the expected counts of the sampling policies then have closed forms.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma

from scdpo.planning.lengths import Lengths
from scdpo.run.recipe import Recipe

ALL = 7500
"""Problems where a recipe says "all": about those of GSM8K and of MATH."""


@dataclass(frozen=True, slots=True)
class Chances:
    """How often the model is right. accuracy: over problems; concentration: low where problems are easy or impossible, high
    where all are about as hard."""

    accuracy: float = 0.6
    concentration: float = 1.0

    def moment(self, right: int, wrong: int = 0) -> float:
        """The expected chance of so many right and so many wrong answers in a given order."""
        a, b = self.accuracy * self.concentration, (1 - self.accuracy) * self.concentration
        return exp(_log_beta(a + right, b + wrong) - _log_beta(a, b))


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


@dataclass(frozen=True, slots=True)
class Yields:
    """Expected, a problem: naive samples, trees and their naive pairs (one each where a problem has both a right and a wrong
    sample), continuations, branches that forking finds, and further naive samples."""

    samples: float
    trees: float
    naive: float
    continuations: float
    branches: float
    further: float


def yields(chances: Chances, most: int, forks: float, attempts: int, further: int) -> Yields:
    """The expected counts of the policies (sampling/policies.py). With p a problem's chance: no pair has p^K + (1-p)^K;
    draws go on past t with p^t + (1-p)^t; a fork's tries go on past t with p^t. forks: of a trunk.

    Raised temperatures, which find wrong continuations sooner, are left out.
    """
    m = chances.moment
    if most < 2:
        return Yields(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    none = m(most) + m(0, most)
    samples = 1 + sum(m(t) + m(0, t) for t in range(1, most))
    paired = lambda right: m(right) - m(right + most) - m(right, most)  # noqa: E731  # with a pair, and so many more right ones
    continuations = forks * sum(paired(t) for t in range(attempts))
    branches = forks * (paired(0) - paired(attempts))
    # One wrong sample only: right ones before it, or right at the second draw. It lacks one for each branch found.
    single = lambda right: 2 * m(right + 1) - m(right + 2) - m(right + most)  # noqa: E731
    extra = forks * sum(single(t) - single(t + attempts) for t in range(further))
    return Yields(samples, 1 - none, 1 - none, continuations, branches, min(extra, further * (1 - none)))


@dataclass(frozen=True, slots=True)
class Given:
    """How many trees a file of trees holds (sampling.trees), and how many naive and step-controlled pairs."""

    trees: int
    naive: int
    controlled: int


@dataclass(frozen=True, slots=True)
class Workload:
    """Counts and tokens of a whole run's round. tree_tokens, row_tokens: of one epoch of scdpo's preference training, on trees
    and as two rows a pair."""

    lengths: Lengths
    each: Yields
    sft_rows: int
    problems: int
    evaluated: int
    models: int

    @property
    def trees(self) -> float:
        return self.problems * self.each.trees

    @property
    def naive(self) -> float:
        return self.problems * self.each.naive

    @property
    def step_controlled(self) -> float:
        return self.problems * self.each.branches

    @property
    def pairs(self) -> float:
        return self.naive + self.step_controlled

    @property
    def fork_share(self) -> float:
        """How many of a trunk's tokens a fork keeps: forks are drawn evenly over the steps but the last."""
        return 0.5

    def tree_width(self, naive: float, controlled: float) -> float:
        """Tokens of a tree with so many branches of each kind."""
        own = naive + (1 - self.fork_share) * controlled
        return self.lengths.row + own * self.lengths.solution

    @property
    def scdpo_width(self) -> float:
        return self.tree_width(self.naive / self.trees, self.step_controlled / self.trees) if self.trees else 0.0

    @property
    def tree_tokens(self) -> float:
        return self.trees * self.scdpo_width

    @property
    def row_tokens(self) -> float:
        return 2 * self.pairs * self.lengths.row

    def arm_tokens(self, arm: str, layout: str) -> float:
        """Tokens of one epoch of an arm's training."""
        if arm == "rft":
            return self.trees * self.lengths.row
        pairs = self.naive if arm == "dpo" else self.pairs
        if layout == "pairs":
            return 2 * pairs * self.lengths.row
        if arm == "scdpo":
            return self.tree_tokens
        return self.trees * self.tree_width(pairs / self.trees if self.trees else 0, 0)


def workload(recipe: Recipe, lengths: Lengths, chances: Chances, given: Given | None = None) -> Workload:
    """What one round of a recipe comes to. given: trees that are trained on as they are."""
    inner = max(1.0, lengths.steps - 1)
    forks = inner if recipe.fork.choice == "every" else min(inner, recipe.fork.forks_per_solution)
    sampling, fork = recipe.sampling, recipe.fork
    further = fork.further_samples if "dpo-data-equal" in recipe.run.arms else 0
    settings = recipe.problems
    evaluated = settings.test if recipe.evaluation.split == "test" else settings.dev
    sft, pairs, asked = (ALL if count == "all" else count for count in (settings.sft, settings.pairs, evaluated))
    if given is None:
        each = yields(chances, sampling.max_samples, forks, fork.attempts, further)
    else:
        pairs, count = given.trees, max(given.trees, 1)
        each = Yields(0.0, 1.0, given.naive / count, 0.0, given.controlled / count, 0.0)
    return Workload(lengths, each, sft, pairs, asked, 1 + len(recipe.run.arms))
