"""The tasks that workers run: one training, or one block of problems. Each opens what it needs of the run directory.

Results are plain records; the parent writes them.
"""

from __future__ import annotations

import atexit
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from scdpo.cores import side_by_side, usable_cores, usable_threads
from scdpo.credit.scoring import credit_row, token_scores
from scdpo.credit.solutions import wrong_solutions
from scdpo.engines.interface import Engine
from scdpo.errors import ModelError, RunError
from scdpo.exchange.tree_file import AskedTree
from scdpo.problems.problem import Problem
from scdpo.problems.settings import each_source
from scdpo.run.engine import open_engine
from scdpo.run.prompts import codec_of, new_marks, starting_tokenizer
from scdpo.run.rounds import Round
from scdpo.run.run_directory import RunDirectory
from scdpo.sampling.arms import Arm, all_trees, arm_trees
from scdpo.sampling.continuation import SamplingRules
from scdpo.sampling.policies import ProblemSamples
from scdpo.sampling.stages import ForkedProblem, answer_block, fork_block, sample_block
from scdpo.sandbox.sandbox import Sandbox
from scdpo.seeds import derive_seed
from scdpo.solutions.codec import Codec

Report = Callable[[int, int], None]
Record = dict[str, Any]
T = TypeVar("T")
_held: dict[Any, Any] = {}


@lru_cache(maxsize=1)
def open_run(path: Path) -> RunDirectory:
    return RunDirectory.open(path)


def run_codec(run: RunDirectory) -> Codec:
    """The codec of a run's models: they all share the tokenizer of the SFT model."""
    from scdpo.training.model_files import load_tokenizer

    return codec_of(run.recipe, load_tokenizer(run.round(1).model("sft"), run.recipe.model.trust_remote_code))


def kept_alone(make: Callable[..., T]) -> Callable[..., T]:
    """Keep what `make` gave for the last arguments, and drop it before anything else is made: two models may not fit."""

    def get(*arguments: Any) -> T:
        if _held.get(make, (None,))[0] != arguments:
            _held.clear()
            _held[make] = arguments, make(*arguments)
        return _held[make][1]

    return get


@kept_alone
def load_engine(path: Path, folder: Path) -> tuple[Engine, Codec]:
    """The run's engine over one of its models, with the run's codec."""
    run = open_run(path)
    codec, settings = run_codec(run), run.recipe.model
    return open_engine(run.recipe.engine, folder, codec, settings.context, settings.trust_remote_code), codec


@kept_alone
def load_scorer(path: Path, folder: Path) -> Any:
    """One of the run's models, to compute log-probs with."""
    import torch

    from scdpo.training.model_files import load_model

    model = load_model(folder, trust_remote_code=open_run(path).recipe.model.trust_remote_code)
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


@lru_cache(maxsize=1)
def load_sandbox(path: Path) -> Sandbox | None:
    """The sandbox of this process; None for a run whose solutions have no code."""
    recipe = open_run(path).recipe
    if not recipe.code.format:
        return None
    jobs = recipe.sandbox.jobs or usable_cores() // side_by_side(recipe.engine.threads)  # workers share the cores
    sandbox = Sandbox(recipe.sandbox.model_copy(update={"jobs": jobs}))
    atexit.register(sandbox.stop)
    return sandbox


def forget() -> None:
    """Drop what tasks keep open in this process: a folder may hold another run by now."""
    open_run.cache_clear()
    _held.clear()
    load_sandbox.cache_clear()  # who started one stops it when the process ends


def use_threads(count: int) -> None:
    """Fix the processor threads of this process; 0 is all. Never more than there are processors for it."""
    import torch

    torch.set_num_threads(usable_threads(count))


def take_over(threads: int) -> None:
    """Give this process to a training: its threads, and the memory of the model that it sampled or scored with."""
    _held.clear()
    use_threads(threads)


def rules_of(current: Round, codec: Codec, max_new_tokens: int) -> SamplingRules:
    recipe = current.run.recipe
    sampling = recipe.sampling
    return SamplingRules(
        codec, current.seed, max_new_tokens, recipe.model.context, sampling.banned, sampling.top_p, recipe.code
    )


def sample_task(path: Path, number: int, problems: Sequence[Problem], report: Report) -> list[Record]:
    """The naive samples of one block."""
    current = open_run(path).round(number)
    recipe = current.run.recipe
    use_threads(recipe.engine.threads)
    engine, codec = load_engine(path, current.start)
    rules = rules_of(current, codec, recipe.sampling.max_new_tokens)
    hear = lambda done: report(done, len(problems))  # noqa: E731
    records = sample_block(problems, engine, rules, recipe.sampling, recipe.engine.rows, hear, load_sandbox(path))
    return [record.to_json() for record in records]


def fork_task(path: Path, number: int, problems: Sequence[Problem], samples: Sequence[Record], report: Report) -> list[Record]:
    """The forks of one block, from its naive samples."""
    current = open_run(path).round(number)
    recipe = current.run.recipe
    use_threads(recipe.engine.threads)
    engine, codec = load_engine(path, current.start)
    rules = rules_of(current, codec, recipe.sampling.max_new_tokens)
    drawn = [ProblemSamples.from_json(record) for record in samples]
    hear = lambda done: report(done, len(problems))  # noqa: E731
    rows, sandbox = recipe.engine.rows, load_sandbox(path)
    records = fork_block(problems, drawn, engine, rules, recipe.sampling, current.fork_settings, rows, hear, sandbox)
    return [record.to_json() for record in records]


def unsampled_task(path: Path, number: int, problems: Sequence[Problem], report: Report) -> list[Record]:
    """The records of one block where trees are given: nothing was sampled."""
    return [ProblemSamples(problem.id, (), "given").to_json() for problem in problems]


def given_task(path: Path, number: int, given: Sequence[AskedTree], report: Report) -> list[Record]:
    """One block of given trees, as forking would have made them. Raises RunError for ids of another tokenizer."""
    run = open_run(path)
    codec = run_codec(run)
    for each in given:
        for solution in (each.tree.trunk, *map(each.tree.whole, each.tree.branches)):
            if max(solution.ids) >= len(codec.tokenizer) or codec.spell(solution.ids).text != solution.text:
                raise RunError(
                    f"{each.problem.id} of sampling.trees was made into tokens by another tokenizer than the run's; import it "
                    f"again with --tokenizer {run.round(1).model('sft')}, for a new run"
                )
    report(len(given), len(given))
    return [ForkedProblem(each.problem.id, each.tree).to_json() for each in given]


def answer_task(path: Path, number: int, model: str, problems: Sequence[Problem], report: Report) -> list[Record]:
    """One model's greedy solutions of one block."""
    current = open_run(path).round(number)
    recipe = current.run.recipe
    use_threads(recipe.engine.threads)
    engine, codec = load_engine(path, current.model(model))
    rules = rules_of(current, codec, recipe.evaluation.max_new_tokens)
    hear = lambda done: report(done, len(problems))  # noqa: E731
    solutions = answer_block(problems, engine, rules, recipe.engine.rows, hear, load_sandbox(path))
    return [{"problem": p.id} | solution.to_json() for p, solution in zip(problems, solutions, strict=True)]


def sampled_task(
    path: Path, model: str, temperature: float, each: int, problems: Sequence[Problem], report: Report
) -> list[Record]:
    """Solutions of one block's problems, `each` of them, by a model of the first round at a temperature."""
    current = open_run(path).round(1)
    recipe = current.run.recipe
    use_threads(recipe.engine.threads)
    engine, codec = load_engine(path, current.model(model))
    rules = rules_of(current, codec, recipe.evaluation.max_new_tokens)
    hear = lambda done: report(done // each, len(problems))  # noqa: E731
    rows, sandbox = recipe.engine.rows, load_sandbox(path)
    solutions = iter(answer_block(problems, engine, rules, rows, hear, sandbox, temperature, each))
    return [ProblemSamples(problem.id, tuple(islice(solutions, each))).to_json() for problem in problems]


def score_task(path: Path, model: str, problems: Sequence[Problem], samples: Sequence[Record], report: Report) -> list[Record]:
    """The log-probs of one block's wrong solutions, token by token, under a model of the first round."""
    run = open_run(path)
    use_threads(run.recipe.engine.threads)
    codec, scorer = run_codec(run), load_scorer(path, run.round(1).model(model))
    wrong = [wrong_solutions(ProblemSamples.from_json(record)) for record in samples]
    rows = [credit_row(p.id, p.question, s, codec) for p, each in zip(problems, wrong, strict=True) for s in each.values()]
    scores = iter(token_scores(scorer, rows, run.recipe.training.tokens_per_micro_batch))
    report(len(problems), len(problems))
    return [
        {"problem": problem.id, "log_probs": [[round(value, 7) for value in next(scores)] for _ in each]}
        for problem, each in zip(problems, wrong, strict=True)
    ]


def sft_task(path: Path, report: Report) -> Record:
    """The SFT model: the given one or one from scratch, trained on the worked solutions."""
    from scdpo.engines.transformers_engine import refuse_other_attention
    from scdpo.solutions.solution import Solution
    from scdpo.solutions.verdict import Verdict
    from scdpo.training.adapters import add_adapters, merged, quantization
    from scdpo.training.model_files import load_model, save_model
    from scdpo.training.processes import launched
    from scdpo.training.scratch import grow_embeddings, make_model
    from scdpo.training.train import card, train_sft

    run = open_run(path)
    recipe = run.recipe
    take_over(recipe.sft.threads)
    problems = run.problems("sft")
    settings = recipe.model
    seed = derive_seed(recipe.run.seed, "model")
    tokenizer, new_tokens = starting_tokenizer(recipe, problems)
    if settings.path:
        if new_tokens and recipe.sft.lora.rank:
            raise ModelError(
                f"sft.lora would not train the new tokens {', '.join(new_marks(recipe))}; set its rank to 0, or take a format "
                "and a prompt without such marks"
            )

        def untrained() -> Any:
            model = load_model(settings.place, trust_remote_code=settings.trust_remote_code)
            if new_tokens:
                grow_embeddings(model, len(tokenizer), seed)
            return model

    else:
        untrained = lambda: make_model(settings, tokenizer, seed)  # noqa: E731
    codec = codec_of(recipe, tokenizer)
    training = training_of(run.round(1), "sft")
    if not problems:
        model = untrained()
        refuse_other_attention(model, settings.context)
        if launched().is_main_process:
            save_model(model, tokenizer, training.folder, "The model as given, without SFT.\n")
        launched().wait_for_everyone()
        return {}
    right = Verdict("correct")
    worked, unspelled = [], 0
    for problem in problems:
        try:
            codec.prompt(problem.question)
            worked.append((problem.question, Solution(codec.read(problem.solution or ""), right)))
        except ModelError:
            unspelled += 1
    lora = recipe.sft.lora
    if settings.path and lora.quantize:
        model = load_model(settings.place, quantization(lora), settings.trust_remote_code)
    else:
        model = untrained()
    refuse_other_attention(model, settings.context)
    if not lora.rank:
        return train_sft(model, worked, codec, recipe.sft, recipe.context_of(recipe.sft), training, report, unspelled)
    adapter = replace(training, folder=training.folder.with_name("sft.adapter"))
    if adapter.folder.is_dir():  # trained before, and stopped in the merging
        facts = json.loads(adapter.log.read_text(encoding="utf-8").splitlines()[-1])
    else:
        model = add_adapters(model, lora, settings.place, training.seed)
        facts = train_sft(model, worked, codec, recipe.sft, recipe.context_of(recipe.sft), adapter, report, unspelled)
    if launched().is_main_process:
        save_model(merged(untrained(), adapter.folder), tokenizer, training.folder, card(training, facts))
        shutil.rmtree(adapter.folder)
    launched().wait_for_everyone()
    return facts


def start_task(path: Path, number: int, report: Report) -> Record:
    """What a later round starts from, where the round before left adapters: these merged into their base."""
    from scdpo.training.model_files import load_model, load_tokenizer, save_model

    current = open_run(path).round(number)
    take_over(current.run.recipe.training.threads)
    remote = current.run.recipe.model.trust_remote_code
    model, tokenizer = load_model(current.given, trust_remote_code=remote), load_tokenizer(current.given, remote)
    save_model(model, tokenizer, current.start, f"The model that round {number} of a run of scdpo started from.\n")
    return {}


def reference_task(path: Path, number: int, report: Report) -> Record:
    """The reference log-probs of all the pairs that any of the round's preference trainings has, into the run's cache."""
    from scdpo.training.train import load_trainable, with_reference

    current = open_run(path).round(number)
    run, recipe = current.run, current.run.recipe
    take_over(recipe.training.threads)
    codec = run_codec(run)
    forked = current.read_trees()
    is_compared = "dpo-data-equal" in current.arms
    trees = all_trees(forked, current.read_samples()) if is_compared else arm_trees("scdpo", forked, ())
    folder, context = current.reference, recipe.context_of(recipe.training)
    remote = recipe.model.trust_remote_code
    load = partial(load_trainable, settings=recipe.training, seed=recipe.run.seed, trust_remote_code=remote)
    cache = run.reference_cache
    *_, facts = with_reference(load, folder, trees, questions_of(run), codec, recipe.training, context, cache, report)
    return facts


def train_task(path: Path, number: int, arm: Arm, report: Report) -> Record:
    """One of the models that start where the round starts."""
    from scdpo.training.train import load_trainable, train_preference, train_sft

    current = open_run(path).round(number)
    run, recipe = current.run, current.run.recipe
    settings = recipe.rft if arm == "rft" else recipe.training
    take_over(settings.threads)
    codec, questions = run_codec(run), questions_of(run)
    trees = arm_trees(arm, current.read_trees(), current.read_samples() if arm == "dpo-data-equal" else ())
    training, context, start = training_of(current, arm), recipe.context_of(settings), current.start
    remote = recipe.model.trust_remote_code
    if arm == "rft":
        chosen = [(questions[tree.problem], tree.trunk) for tree in trees]
        model = load_trainable(start, recipe.rft, training.seed, remote)
        return train_sft(model, chosen, codec, recipe.rft, context, training, report)
    cache, reference = run.reference_cache, current.reference
    return train_preference(
        reference, trees, questions, codec, recipe.training, context, cache, training, report, remote, start=start
    )


def questions_of(run: RunDirectory) -> dict[str, str]:
    return {problem.id: problem.question for problem in run.pair_problems}


def training_of(current: Round, name: str) -> Any:
    """Where a training's results go, with the facts of its card."""
    from scdpo.training.train import Training

    recipe = current.run.recipe
    settings = {"sft": recipe.sft, "rft": recipe.rft}.get(name, recipe.training)
    facts = {"method": name, "problems": ", ".join(each_source(recipe.problems.source)), "run seed": recipe.run.seed}
    facts |= {} if current.is_first else {"round": current.number, "reference": recipe.run.reference}
    facts |= settings.model_dump(mode="json")
    title = f"scdpo {name}" if current.is_first else f"scdpo {name}, round {current.number}"
    return Training(title, current.model(name), current.log(name), derive_seed(current.seed, "training", name), facts)
