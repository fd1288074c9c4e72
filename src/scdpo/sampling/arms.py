"""The arms: which pairs each training gets. Naive only, naive with as many more, naive with step-controlled.

Pure functions from records to trees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from scdpo.sampling.policies import ProblemSamples
from scdpo.sampling.stages import ForkedProblem
from scdpo.solutions.solution import Solution
from scdpo.solutions.tree import Branch, SolutionTree

Arm = Literal["rft", "dpo", "dpo-data-equal", "scdpo"]
ARMS: tuple[Arm, ...] = ("rft", "dpo", "dpo-data-equal", "scdpo")


def arm_trees(arm: Arm, forked: Sequence[ForkedProblem], samples: Sequence[ProblemSamples]) -> list[SolutionTree]:
    """The trees that an arm trains on; `rft` takes the trunks of `scdpo`'s, which are the chosen solutions of its pairs."""
    if arm == "dpo":
        return naive_trees(forked)
    if arm == "dpo-data-equal":
        return data_equal_trees(forked, samples)
    return step_controlled_trees(forked)


def naive_trees(forked: Iterable[ForkedProblem]) -> list[SolutionTree]:
    """D_naive: one naive pair a problem (the arm `dpo`)."""
    return [
        record.tree.only(branch for branch in record.tree.branches if not branch.is_step_controlled)
        for record in forked
        if record.tree
    ]


def step_controlled_trees(forked: Iterable[ForkedProblem]) -> list[SolutionTree]:
    """D_naive and D_SC together (the arm `scdpo`)."""
    return [record.tree for record in forked if record.tree]


def data_equal_trees(forked: Sequence[ForkedProblem], samples: Sequence[ProblemSamples]) -> list[SolutionTree]:
    """As many pairs as `step_controlled_trees`, all naive (the arm `dpo-data-equal`).

    Every problem first gets as many naive pairs as its tree has branches, from its further samples. What a problem's samples
    cannot fill is made up by other problems' unused wrong solutions, in the problems' order; where even those run out, the
    arm stays smaller, and its count says so.
    """
    first = {record.problem: record.samples for record in samples}
    grown: list[tuple[SolutionTree, list[Branch]]] = []
    missing = 0
    for record in forked:
        if record.tree is None:
            continue
        wanted = len(record.tree.branches)
        drawn = (*first[record.problem], *record.further)
        branches = distinct_wrong(drawn)
        missing += wanted - len(branches[:wanted])
        grown.append((record.tree.only(branches[:wanted]), branches[wanted:]))
    trees = []
    for tree, spare in grown:
        taken, missing = spare[:missing], missing - len(spare[:missing])
        trees.append(tree.only((*tree.branches, *taken)))
    return trees


def all_trees(forked: Sequence[ForkedProblem], samples: Sequence[ProblemSamples]) -> list[SolutionTree]:
    """Each tree with the branches that it has in any preference arm, once: what reference log-probs are needed of."""
    equal = data_equal_trees(forked, samples)
    trees = []
    for tree, other in zip(step_controlled_trees(forked), equal, strict=True):
        branches = {(branch.fork, *(step.ids for step in branch.steps)): branch for branch in (*tree.branches, *other.branches)}
        trees.append(tree.only(branches.values()))
    return trees


def distinct_wrong(samples: Iterable[Solution]) -> list[Branch]:
    """The different wrong solutions among `samples` as naive branches, in the order drawn."""
    unique = {sample.ids: sample for sample in samples if sample.verdict.is_wrong}
    return [Branch(0, sample.steps, sample.verdict) for sample in unique.values()]


def count_pairs(trees: Iterable[SolutionTree]) -> dict[str, int]:
    """How many pairs the trees hold: naive, step-controlled, and together."""
    controlled = [branch.is_step_controlled for tree in trees for branch in tree.branches]
    return {"naive": controlled.count(False), "step_controlled": controlled.count(True), "total": len(controlled)}
