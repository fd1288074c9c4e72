"""Rendering: a solution tree as one row of token ids, with its positions, loss mask and pairs made in the same pass.

A row holds the question and the trunk, then each branch's own tokens. A branch sees the question, the trunk up to where it
leaves it, and itself; its positions continue from there, and its first token is predicted from the last shared one. Every
pair of the tree is thereby computed with the kept steps shared. Knows no tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scdpo.solutions.solution import Solution, Step
from scdpo.solutions.tree import SolutionTree


@dataclass(frozen=True, slots=True)
class RowPair:
    """One preference pair of a row, as the row's indices of its counted tokens: those after the fork."""

    fork: int
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TreeRow:
    """One tree as a row of n tokens.

    positions: [n], the place of each token in its own solution. shared: [n], how many of the row's first tokens a token
    may see besides those of its own segment. segments: [n], 0 for question and trunk, b for branch b (from 1).
    predictors: [n], the index whose hidden state predicts the token, -1 for the first. trunk: the row's indices of the trunk's
    counted tokens, what SFT trains on; it and the pairs' indices are the loss mask.
    """

    name: str
    ids: tuple[int, ...]
    positions: tuple[int, ...]
    segments: tuple[int, ...]
    shared: tuple[int, ...]
    predictors: tuple[int, ...]
    trunk: tuple[int, ...]
    pairs: tuple[RowPair, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def longest(self) -> int:
        """The tokens of the longest single solution with its prompt: what a model's context must hold."""
        return max(self.positions) + 1


def render(tree: SolutionTree, prompt: Sequence[int], end_id: int, count_outputs: bool = False) -> TreeRow:
    """The row of `tree` after the prompt's ids. Solutions that ended get the end-of-sequence id, which counts; a trunk that
    is cut (see Solution) says that its branches are, too.

    The outputs of code count only with count_outputs: the model did not write them. Where a branch says at first what its
    trunk says there, the trunk's tokens serve both: they count on both sides.
    """
    row, trunk, counted = _begin(tree.trunk, prompt, end_id, count_outputs)
    base = len(prompt)
    pairs = []
    for number, branch in enumerate(tree.branches, start=1):
        fork = base + sum(len(step.ids) for step in tree.kept(branch))
        own, own_counts = _tokens(branch.steps, tree.trunk.finish, end_id, count_outputs)
        trunk_rest = zip(row.ids[fork : trunk.stop], counted[fork : trunk.stop], strict=True)
        left = fork + _common(list(trunk_rest), list(zip(own, own_counts, strict=True)))
        tokens = row.add(own[left - fork :], segment=number, fork=left)
        rejected = zip((*range(fork, left), *tokens), own_counts, strict=True)
        chosen = tuple(place for place in range(fork, trunk.stop) if counted[place])
        pairs.append(RowPair(branch.fork, chosen, tuple(place for place, counts in rejected if counts)))
    return row.build(tree.problem, tuple(place for place in trunk if counted[place]), tuple(pairs))


def render_solution(name: str, solution: Solution, prompt: Sequence[int], end_id: int, count_outputs: bool = False) -> TreeRow:
    """The row of a single solution, as that of a tree without branches."""
    row, own, counted = _begin(solution, prompt, end_id, count_outputs)
    return row.build(name, tuple(place for place in own if counted[place]), ())


def _begin(
    solution: Solution, prompt: Sequence[int], end_id: int, count_outputs: bool
) -> tuple[_RowBuilder, range, list[bool]]:
    """A row of a prompt and a solution, the solution's indices, and whether each of the row's tokens counts."""
    row = _RowBuilder()
    row.add(prompt)
    ids, counts = _tokens(solution.steps, solution.finish, end_id, count_outputs)
    return row, row.add(ids), [False] * len(prompt) + counts


def _tokens(steps: Sequence[Step], finish: str, end_id: int, count_outputs: bool) -> tuple[list[int], list[bool]]:
    """The ids of a solution's steps with its end, and whether each of them counts."""
    ids = [id for step in steps for id in step.ids]
    counts = [count_outputs or written for step in steps for written in step.written]
    return (ids, counts) if finish != "end" else ([*ids, end_id], [*counts, True])


def as_two_rows(row: TreeRow, pair: RowPair) -> tuple[TreeRow, TreeRow]:
    """The chosen and the rejected solution of a pair as plain rows, each with its counted tokens as `trunk`."""
    chosen, rejected = (_solution(row, counted) for counted in (pair.chosen, pair.rejected))
    return chosen, rejected


def _solution(row: TreeRow, counted: Sequence[int]) -> TreeRow:
    """What the last of the counted tokens sees, in its order: each token's predictor is the one before it."""
    places = [counted[-1]]
    while places[-1] > 0:
        places.append(row.predictors[places[-1]])
    places.reverse()
    alone = _RowBuilder()
    alone.add([row.ids[place] for place in places])
    own = set(counted)
    return alone.build(row.name, tuple(index for index, place in enumerate(places) if place in own), ())


def _common(first: Sequence[object], second: Sequence[object]) -> int:
    """How many items two sequences begin with alike."""
    return next(
        (place for place, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )


class _RowBuilder:
    """Grows ids, positions, mask and the rest in the same call, so that they cannot drift apart."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.segments: list[int] = []
        self.shared: list[int] = []
        self.predictors: list[int] = []

    def add(self, ids: Sequence[int], segment: int = 0, fork: int | None = None) -> range:
        """Append tokens to the trunk, or (with the row index of the fork) as a new branch; returns their indices."""
        first = len(self.ids)
        start = first if fork is None else fork
        for offset, id in enumerate(ids):
            self.ids.append(id)
            self.positions.append(start + offset)
            self.segments.append(segment)
            self.shared.append(start)
            self.predictors.append(start - 1 if offset == 0 else first + offset - 1)
        return range(first, len(self.ids))

    def build(self, name: str, trunk: tuple[int, ...], pairs: tuple[RowPair, ...]) -> TreeRow:
        return TreeRow(
            name,
            tuple(self.ids),
            tuple(self.positions),
            tuple(self.segments),
            tuple(self.shared),
            tuple(self.predictors),
            trunk,
            pairs,
        )
