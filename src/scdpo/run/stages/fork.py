"""Forking: step-controlled continuations (D_SC) and the further naive samples that equal data need, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from scdpo.errors import RunError
from scdpo.run.stage import Output, Stage, once
from scdpo.run.stages.sample import SOLVED_WITH, naive_samples, pair_problems, start_model
from scdpo.run.stages.sft import given_file

if TYPE_CHECKING:
    from scdpo.problems.problem import Problem
    from scdpo.run.directory import Round
    from scdpo.run.tools import Tools
    from scdpo.run.worker import Worker
    from scdpo.solutions.tree import SolutionTree


@once
def forked_trees(current: Round) -> Output:
    """The solution trees of a round."""
    from scdpo.run.fingerprint import fields_of

    run, what = current.run, f"trees{current.of_round}"
    if run.recipe.sampling.trees:
        inputs = (pair_problems(current), given_file(run, run.given_trees), start_model(current))
        return Output("fork", current.trees.path, what, {}, inputs, current.trees)
    fields = fields_of(run.fields, (*SOLVED_WITH, "sampling", "fork"))
    fields["fork.further_samples"] = current.fork_settings.further_samples
    inputs = (pair_problems(current), naive_samples(current), start_model(current))
    return Output("fork", current.trees.path, what, fields, inputs, current.trees)


def make(tools: Tools, current: Round, owed: Sequence[Output]) -> str:
    from scdpo.exchange.tree_file import read_tree_file
    from scdpo.run.directory import round_name
    from scdpo.run.making import run_blocks
    from scdpo.run.records import in_blocks

    run, number = current.run, current.number
    size = run.recipe.sampling.block

    def tasks(_: str, first: int) -> Iterator[tuple]:
        blocks = (in_blocks(records, size, first) for records in (run.pair_problems, current.samples))
        return ((number, *block) for block in zip(*blocks, strict=True))

    def given(_: str, first: int) -> Iterator[tuple]:
        return ((block,) for block in in_blocks(read_tree_file(run.given_trees), size, first))

    is_given = bool(run.recipe.sampling.trees)
    function, work = (as_given, given) if is_given else (forked, tasks)
    run_blocks(tools, round_name("fork", number), "problems", {"fork": owed[0]}, function, work)
    evaluated = run.manifest().get("given_trees", {}).get("question_is_evaluated", 0)
    left_out = f", {evaluated} left out because their questions are evaluated" if evaluated else ""
    return f"{len(run.pair_problems)} trees as given{left_out}" if is_given else f"{len(run.pair_problems)} problems"


def forked(
    worker: Worker,
    number: int,
    problems: Sequence[Problem],
    samples: Sequence[dict[str, Any]],
    report: Callable[[int, int], None],
) -> list[dict[str, Any]]:
    """The task: the forks of one block, from its naive samples."""
    from scdpo.sampling.policies import ProblemSamples
    from scdpo.sampling.stages import fork_block

    current = worker.run.round(number)
    sampling = current.run.recipe.sampling
    solver = worker.solver(current, current.start, sampling)
    drawn = [ProblemSamples.from_json(record) for record in samples]
    hear = lambda done: report(done, len(problems))  # noqa: E731
    records = fork_block(problems, drawn, solver, sampling, current.fork_settings, hear)
    return [record.to_json() for record in records]


def as_given(worker: Worker, given: Sequence[SolutionTree], report: Callable[[int, int], None]) -> list[dict[str, Any]]:
    """The task of given trees: as forking would have made them. Raises RunError for ids of another tokenizer."""
    from scdpo.sampling.stages import ForkedProblem

    codec = worker.codec
    for tree in given:
        for solution in (tree.trunk, *map(tree.whole, tree.branches)):
            if max(solution.ids) >= len(codec.tokenizer) or codec.spell(solution.ids).text != solution.text:
                raise RunError(
                    f"{tree.problem} of sampling.trees was made into tokens by another tokenizer than the run's; import it "
                    f"again with --tokenizer {worker.run.round(1).model('sft')}, for a new run"
                )
    report(len(given), len(given))
    return [ForkedProblem(tree.problem, tree).to_json() for tree in given]


def found(current: Round) -> str:
    from scdpo.run.yields import pairs_in

    return pairs_in(current.trees)


FORK = Stage(
    "fork",
    "fork correct solutions at a step and let them go wrong (D_SC)",
    outputs=lambda current: [forked_trees(current)],
    make=make,
    found=found,
    turn="every round",
    in_blocks=True,
    executes=True,
)
