"""Credit: solutions sampled from the SFT model, and the log-probs of the wrong ones under every model, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from scdpo.run.stage import Output, Stage

if TYPE_CHECKING:
    from scdpo.problems.problem import Problem
    from scdpo.run.directory import Round
    from scdpo.run.tools import Tools
    from scdpo.run.worker import Worker
    from scdpo.sampling.policies import ProblemSamples


def log_probs(current: Round, model: str) -> Output:
    """A model's log-probs of the wrong solutions' tokens."""
    from scdpo.run.draws import drawn, model_output
    from scdpo.run.fingerprint import fields_of

    records = current.credit_log_probs(model)
    fields = fields_of(current.run.fields, ("credit.samples", "credit.temperature"))
    inputs = (*(drawn("credit", current, draw) for draw in current.credit_draws), model_output(current, model))
    return Output("credit", records.path, f"log-probs of {model}", fields, inputs, records)


def outputs(current: Round) -> list[Output]:
    from scdpo.run.draws import drawn

    draws = [drawn("credit", current, draw) for draw in current.credit_draws]
    return [*draws, *(log_probs(current, model) for model in current.models)]


def credit_samples(current: Round) -> Iterator[ProblemSamples]:
    """The sampled solutions of each problem, read one at a time."""
    from scdpo.sampling.policies import ProblemSamples
    from scdpo.solutions.solution import Solution

    files = (current.drawn(draw) for draw in current.credit_draws)
    for lines in islice(zip(*files, strict=False), current.credited):
        yield ProblemSamples(lines[0]["problem"], tuple(Solution.from_json(line) for line in lines))


def make(tools: Tools, current: Round, owed: Sequence[Output]) -> str:
    from scdpo.run.draws import make_draws
    from scdpo.run.making import run_blocks
    from scdpo.run.records import in_blocks

    make_draws(tools, "credit", "answers", current, current.credit_draws)
    tools.watcher.stop()
    size = current.run.recipe.evaluation.block

    def tasks(model: str, first: int) -> Iterator[tuple]:
        blocks = (in_blocks(islice(each, current.credited), size, first) for each in (problems, credit_samples(current)))
        return ((model, *both) for both in zip(*blocks, strict=True))

    problems = current.run.evaluation_problems
    files = {model: log_probs(current, model) for model in current.models if not log_probs(current, model).is_complete}
    run_blocks(tools, "credit", "problems", files, scored, tasks)
    return f"{len(files)} models on the wrong ones of {current.credited * len(current.credit_draws)} solutions"


def scored(
    worker: Worker,
    model: str,
    problems: Sequence[Problem],
    samples: Sequence[ProblemSamples],
    report: Callable[[int, int], None],
) -> list[dict[str, Any]]:
    """The task: the log-probs of one block's wrong solutions, token by token, under a model of the first round."""
    from scdpo.credit.scoring import credit_row, token_scores
    from scdpo.credit.solutions import wrong_solutions

    run = worker.run
    scorer = worker.scorer(run.round(1).model(model))
    wrong = [wrong_solutions(each) for each in samples]
    rows = [
        credit_row(p.id, p.question, s, worker.codec) for p, each in zip(problems, wrong, strict=True) for s in each.values()
    ]
    scores = iter(token_scores(scorer, rows, run.recipe.training.tokens_per_micro_batch))
    report(len(problems), len(problems))
    return [
        {"problem": problem.id, "log_probs": [[round(value, 7) for value in next(scores)] for _ in each]}
        for problem, each in zip(problems, wrong, strict=True)
    ]


CREDIT = Stage(
    "credit",
    "score solutions token by token with the trained models: those of FILE, or wrong ones sampled by the SFT model",
    outputs=outputs,
    make=make,
    turn="first round",
    is_wanted=lambda recipe: recipe.credit.problems > 0,
    in_blocks=True,
    executes=True,
)
