"""The tasks that workers run: one training, or one block of problems. Each opens what it needs of the run directory.

Results are plain records; the parent writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from scdpo.errors import ModelError
from scdpo.pipeline.run_directory import RunDirectory
from scdpo.problems.problem import Problem
from scdpo.problems.source import prompt_template
from scdpo.sampling.arms import Arm, arm_trees
from scdpo.sampling.policies import ProblemSamples, SamplingRules
from scdpo.sampling.seeds import derive_seed
from scdpo.sampling.stages import answer_block, fork_block, sample_block
from scdpo.solutions.codec import Codec

Report = Callable[[int, int], None]
Record = dict[str, Any]


@lru_cache(maxsize=1)
def open_run(path: Path) -> RunDirectory:
    return RunDirectory.open(path)


def run_codec(run: RunDirectory) -> Codec:
    """The codec of a run's models: they all share the tokenizer of the SFT model."""
    from scdpo.training.model_files import load_tokenizer

    return make_codec(run, load_tokenizer(run.model("sft")))


def make_codec(run: RunDirectory, tokenizer: Any) -> Codec:
    """The codec of a tokenizer with the prompt and the step format of the run."""
    return Codec(tokenizer, prompt_of(run), run.recipe.steps.format)


def prompt_of(run: RunDirectory) -> str:
    """The run's prompt template: its own, or that of its problems' source."""
    return run.recipe.prompt.template or prompt_template(run.recipe.problems.source)


@lru_cache(maxsize=1)
def load_engine(path: Path, model: str) -> tuple[Any, Codec]:
    """The embedded engine over one of the run's models, with the run's codec."""
    from scdpo.engines.transformers_engine import TransformersEngine
    from scdpo.training.model_files import load_model

    run = open_run(path)
    codec = run_codec(run)
    settings = run.recipe.engine
    context = run.recipe.model.context
    engine = TransformersEngine(load_model(run.model(model)), {codec.end_id}, codec.step_end_ids, settings.rows, context)
    return engine, codec


def forget() -> None:
    """Drop what tasks keep open in this process: a folder may hold another run by now."""
    open_run.cache_clear()
    load_engine.cache_clear()


def use_threads(count: int) -> None:
    """Fix the processor threads of this process; 0 is all."""
    import os

    import torch

    torch.set_num_threads(count or os.cpu_count() or 1)


def rules_of(run: RunDirectory, codec: Codec, max_new_tokens: int) -> SamplingRules:
    recipe = run.recipe
    return SamplingRules(codec, recipe.run.seed, max_new_tokens, recipe.model.context, recipe.sampling.banned)


def of_block(problems: Sequence[Problem], block: int, index: int) -> list[Problem]:
    return list(problems[index * block : (index + 1) * block])


def sample_task(path: Path, index: int, report: Report) -> list[Record]:
    """The naive samples of one block."""
    run = open_run(path)
    recipe = run.recipe
    use_threads(recipe.engine.threads)
    engine, codec = load_engine(path, "sft")
    problems = of_block(run.pair_problems, recipe.sampling.block, index)
    rules = rules_of(run, codec, recipe.sampling.max_new_tokens)
    hear = lambda done: report(done, len(problems))  # noqa: E731
    records = sample_block(problems, engine, rules, recipe.sampling, recipe.engine.rows, hear)
    return [record.to_json() for record in records]


def fork_task(path: Path, index: int, samples: Sequence[Record], report: Report) -> list[Record]:
    """The forks of one block, from its naive samples."""
    run = open_run(path)
    recipe = run.recipe
    use_threads(recipe.engine.threads)
    engine, codec = load_engine(path, "sft")
    problems = of_block(run.pair_problems, recipe.sampling.block, index)
    rules = rules_of(run, codec, recipe.sampling.max_new_tokens)
    drawn = [ProblemSamples.from_json(record) for record in samples]
    hear = lambda done: report(done, len(problems))  # noqa: E731
    records = fork_block(problems, drawn, engine, rules, recipe.sampling, recipe.fork, recipe.engine.rows, hear)
    return [record.to_json() for record in records]


def answer_task(path: Path, model: str, index: int, report: Report) -> list[Record]:
    """One model's greedy solutions of one block."""
    run = open_run(path)
    recipe = run.recipe
    use_threads(recipe.engine.threads)
    engine, codec = load_engine(path, model)
    problems = of_block(run.evaluation_problems, recipe.evaluation.block, index)
    rules = rules_of(run, codec, recipe.evaluation.max_new_tokens)
    hear = lambda done: report(done, len(problems))  # noqa: E731
    solutions = answer_block(problems, engine, rules, recipe.engine.rows, hear)
    return [{"problem": p.id} | solution.to_json() for p, solution in zip(problems, solutions, strict=True)]


def sft_task(path: Path, report: Report) -> Record:
    """The SFT model: the given one or one from scratch, trained on the worked solutions."""
    from scdpo.engines.transformers_engine import refuse_other_attention
    from scdpo.solutions.solution import Solution
    from scdpo.solutions.verdict import Verdict
    from scdpo.training.model_files import load_model, load_tokenizer, save_model
    from scdpo.training.scratch import make_model, make_tokenizer
    from scdpo.training.train import train_sft

    run = open_run(path)
    recipe = run.recipe
    use_threads(recipe.sft.threads)
    problems = run.problems("sft")
    settings = recipe.model
    if settings.path:
        tokenizer, model = load_tokenizer(settings.path), load_model(settings.path)
    else:
        prompts = (prompt_of(run).replace("{question}", problem.question) for problem in problems)
        tokenizer = make_tokenizer([*prompts, *(problem.solution or "" for problem in problems)], settings.context)
        model = make_model(settings, tokenizer, derive_seed(recipe.run.seed, "model"))
    refuse_other_attention(model, settings.context)
    codec = make_codec(run, tokenizer)
    training = training_of(run, "sft")
    if not problems:
        save_model(model, tokenizer, training.folder, "The model as given, without SFT.\n")
        return {}
    right = Verdict("correct")
    worked, unspelled = [], 0
    for problem in problems:
        try:
            codec.prompt(problem.question)
            worked.append((problem.question, Solution(codec.read(problem.solution or ""), right)))
        except ModelError:
            unspelled += 1
    return train_sft(model, worked, codec, recipe.sft, settings.context, training, report, unspelled)


def train_task(path: Path, arm: Arm, report: Report) -> Record:
    """One of the four models that start from the SFT model."""
    from scdpo.training.model_files import load_model
    from scdpo.training.train import train_preference, train_sft

    run = open_run(path)
    recipe = run.recipe
    use_threads(recipe.rft.threads if arm == "rft" else recipe.training.threads)
    codec = run_codec(run)
    questions = {problem.id: problem.question for problem in run.pair_problems}
    trees = arm_trees(arm, run.read_trees(), run.read_samples() if arm == "dpo-data-equal" else ())
    training, context = training_of(run, arm), recipe.model.context
    if arm == "rft":
        chosen = [(questions[tree.problem], tree.trunk) for tree in trees]
        return train_sft(load_model(run.model("sft")), chosen, codec, recipe.rft, context, training, report)
    cache = run.reference_cache
    return train_preference(run.model("sft"), trees, questions, codec, recipe.training, context, cache, training, report)


def training_of(run: RunDirectory, name: str) -> Any:
    """Where a training's results go, with the facts of its card."""
    from scdpo.training.train import Training

    recipe = run.recipe
    settings = {"sft": recipe.sft, "rft": recipe.rft}.get(name, recipe.training)
    facts = {"method": name, "problems": recipe.problems.source, "run seed": recipe.run.seed}
    facts |= settings.model_dump(mode="json")
    return Training(f"scdpo {name}", run.model(name), run.log(name), derive_seed(recipe.run.seed, "training", name), facts)
