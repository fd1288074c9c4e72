"""Trees and rows: forks, kept steps, and the row that shares them."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdpo.solutions.rendering import as_two_rows, render
from scdpo.solutions.solution import CodeOutput, Solution, Step
from scdpo.solutions.tree import Branch, SolutionTree
from tests.conftest import CORRECT, WRONG, make_tree

END = 9
IDS = st.lists(st.integers(10, 20), min_size=1, max_size=4)
OUTPUTS = st.integers(0, 3)


def with_outputs(tree: SolutionTree, starts: list[int]) -> SolutionTree:
    """The tree with the last ids of some steps given rather than written."""

    def given_from(step: Step, start: int) -> Step:
        return replace(step, output=CodeOutput(start, len(step.ids))) if 0 < start < len(step.ids) else step

    trunk = replace(tree.trunk, steps=tuple(map(given_from, tree.trunk.steps, starts)))
    return replace(tree, trunk=trunk)


TREES = st.lists(IDS, min_size=2, max_size=5).flatmap(
    lambda trunk: st.lists(
        st.tuples(st.integers(0, len(trunk) - 1), st.lists(IDS, min_size=1, max_size=3)), min_size=1, max_size=4
    ).flatmap(
        lambda branches: st.lists(OUTPUTS, min_size=len(trunk), max_size=len(trunk)).map(
            lambda starts: with_outputs(make_tree(trunk, branches), starts)
        )
    )
)


def solution(*kinds: str) -> Solution:
    return Solution(tuple(Step(f"{n}\n", (n,), kind) for n, kind in enumerate(kinds)), CORRECT)


@pytest.mark.parametrize(
    ("steps", "forks"),
    [
        (("text", "text", "text", "answer"), [1, 2]),
        (("text", "text", "text"), [1, 2]),
        (("text", "answer"), []),
        (("answer",), []),
        ((), []),
    ],
)
def test_no_fork_at_the_step_that_only_states_the_answer(steps, forks):
    assert list(solution(*steps).forks) == forks


@given(tree=TREES)
def test_records_survive_json(tree):
    assert SolutionTree.from_json(json.loads(json.dumps(tree.to_json()))) == tree


@given(tree=TREES)
def test_a_row_holds_every_solution_of_the_tree(tree):
    """Walking back from any token through its predictors spells the solution that it belongs to, from the prompt on."""
    prompt = (1, 2, 3)
    row = render(tree, prompt, END)

    def walk(token: int) -> list[int]:
        path = []
        while token >= 0:
            path.append(row.ids[token])
            token = row.predictors[token]
        return path[::-1]

    assert walk(row.trunk[-1]) == [*prompt, *tree.trunk.ids, END]
    for branch, pair in zip(tree.branches, row.pairs, strict=True):
        whole = tree.whole(branch).ids
        assert walk(pair.rejected[-1]) == [*prompt, *whole, END]
        assert row.positions[pair.rejected[-1]] == len(prompt) + len(whole)


def written(steps) -> list[int]:
    return [id for step in steps for id, own in zip(step.ids, step.written, strict=True) if own]


@given(tree=TREES)
def test_only_tokens_after_the_fork_count(tree):
    """Prompt, kept steps and outputs carry no loss; chosen is the trunk's rest, rejected the branch, both with their end."""
    prompt = (1, 2, 3)
    row = render(tree, prompt, END)
    assert min(row.trunk) == len(prompt)
    for branch, pair in zip(tree.branches, row.pairs, strict=True):
        kept = sum(len(step.ids) for step in tree.kept(branch))
        assert [row.ids[i] for i in pair.chosen] == [*written(tree.trunk.steps[branch.fork :]), END]
        assert [row.ids[i] for i in pair.rejected] == [id for step in branch.steps for id in step.ids] + [END]
        assert min(pair.chosen) == len(prompt) + kept


@given(tree=TREES)
def test_chosen_and_rejected_share_the_kept_ids(tree):
    """In the row: the first counted token of both stands at the same place and is predicted from the same kept token."""
    prompt = (1, 2, 3)
    row = render(tree, prompt, END)
    for branch, pair in zip(tree.branches, row.pairs, strict=True):
        first = len(prompt) + sum(len(step.ids) for step in tree.trunk.steps[: branch.fork])
        for side in (pair.chosen, pair.rejected):
            assert row.positions[side[0]] == first
            assert row.predictors[side[0]] == first - 1
            assert row.shared[side[0]] <= first
        assert branch.is_step_controlled == (branch.fork > 0)


def test_a_row_by_hand():
    """Prompt 1 2, trunk 11 12 | 13, one branch after the first step: 15 16."""
    row = render(make_tree([[11, 12], [13]], [(1, [[15, 16]])]), (1, 2), END)
    assert row.ids == (1, 2, 11, 12, 13, END, 15, 16, END)
    assert row.positions == (0, 1, 2, 3, 4, 5, 4, 5, 6)
    assert row.segments == (0, 0, 0, 0, 0, 0, 1, 1, 1)
    assert row.predictors == (-1, 0, 1, 2, 3, 4, 3, 6, 7)
    assert (row.pairs[0].chosen, row.pairs[0].rejected) == ((4, 5), (6, 7, 8))
    assert row.trunk == (2, 3, 4, 5)


def test_what_a_branch_says_alike_is_computed_once():
    """Trunk 11 | 12 13, a branch 12 14 after the first step: the 12 stands once and counts on both sides."""
    row = render(make_tree([[11], [12, 13]], [(1, [[12, 14]])]), (1, 2), END)
    assert row.ids == (1, 2, 11, 12, 13, END, 14, END)
    assert row.positions == (0, 1, 2, 3, 4, 5, 4, 5)
    assert row.shared[6:] == (4, 4)
    assert row.predictors[6:] == (3, 6)
    assert (row.pairs[0].chosen, row.pairs[0].rejected) == ((3, 4, 5), (3, 6, 7))


@given(tree=TREES)
def test_a_pair_apart_is_its_two_solutions(tree):
    """Each side of a pair as a plain row: prompt, kept steps, its own end; the counted tokens are those of the pair."""
    prompt = (1, 2, 3)
    row = render(tree, prompt, END)
    for branch, pair in zip(tree.branches, row.pairs, strict=True):
        chosen, rejected = as_two_rows(row, pair)
        assert chosen.ids == (*prompt, *tree.trunk.ids, END)
        assert rejected.ids == (*prompt, *tree.whole(branch).ids, END)
        assert [chosen.ids[i] for i in chosen.trunk] == [row.ids[i] for i in pair.chosen]
        assert [rejected.ids[i] for i in rejected.trunk] == [row.ids[i] for i in pair.rejected]


def test_outputs_of_code_carry_no_loss():
    """The model did not write them: they count on no side, unless that is asked for (as in the authors' scripts)."""
    code = Step("c", (10, 11, 50, 51), "code", output=CodeOutput(2, 4))
    other = Step("d", (10, 12, 50, 51, 13), "code", output=CodeOutput(2, 4))
    trunk = Solution((code, Step("#### 1", (14,), "answer")), CORRECT)
    tree = SolutionTree("p", "q", trunk, (Branch(0, (other,), WRONG), Branch(1, (Step("x", (15,)),), WRONG)))
    row = render(tree, (1, 2), END)
    spelled = lambda places: [row.ids[place] for place in places]  # noqa: E731
    assert spelled(row.trunk) == [10, 11, 14, END]
    assert spelled(row.pairs[0].chosen) == [10, 11, 14, END] and spelled(row.pairs[0].rejected) == [10, 12, 13, END]
    assert spelled(row.pairs[1].chosen) == [14, END] and spelled(row.pairs[1].rejected) == [15, END]
    chosen, rejected = as_two_rows(row, row.pairs[0])
    assert chosen.ids == (1, 2, 10, 11, 50, 51, 14, END) and [chosen.ids[p] for p in chosen.trunk] == [10, 11, 14, END]
    assert rejected.ids == (1, 2, 10, 12, 50, 51, 13, END) and [rejected.ids[p] for p in rejected.trunk] == [10, 12, 13, END]
    counted = render(tree, (1, 2), END, count_outputs=True)
    assert [counted.ids[place] for place in counted.pairs[0].rejected] == [10, 12, 50, 51, 13, END]


def test_a_given_token_is_not_shared_with_a_written_one():
    """A branch that wrote itself what its trunk was given has tokens of its own there: they count for it alone."""
    given = Step("c", (10, 50), "code", output=CodeOutput(1, 2))
    wrote = Step("c", (10, 50, 11))
    tree = SolutionTree("p", "q", Solution((given, Step("a", (14,))), CORRECT), (Branch(0, (wrote,), WRONG),))
    row = render(tree, (1,), END)
    assert [row.ids[p] for p in row.pairs[0].chosen] == [10, 14, END]
    assert [row.ids[p] for p in row.pairs[0].rejected] == [10, 50, 11, END]
