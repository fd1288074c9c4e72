"""SFT: the model that sampling and the trainings start from, the given one or a new one, trained on the worked solutions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from scdpo.errors import ModelError
from scdpo.run.stage import Output, Stage, once

if TYPE_CHECKING:
    from pathlib import Path

    from scdpo.problems.problem import Problem
    from scdpo.run.directory import Round, RunDirectory
    from scdpo.run.recipe import Recipe
    from scdpo.run.tools import Tools
    from scdpo.run.worker import Worker
    from scdpo.solutions.codec import Codec
    from scdpo.solutions.solution import Solution
    from scdpo.training.job import TrainingJob


def given_file(run: RunDirectory, file: Path) -> Output:
    """A file that the run was prepared with."""
    return Output("run", file, file.stem, content=run.content(file))


@once
def sft_model(current: Round) -> Output:
    """The model of the run that its first round starts from."""
    from scdpo.run.fingerprint import fields_of

    run = current.run.round(1).run
    first, problems = run.round(1), given_file(run, run.problem_file("sft"))
    fields = fields_of(run.fields, ("model", "prompt.special_tokens", "code.format", "run.seed"))
    if len(run.problems("sft")):
        fields |= fields_of(run.fields, ("sft", "prompt", "steps", "code"))
    if "model_files" in run.manifest():
        fields["the files of model.path"] = run.manifest()["model_files"]
    model = first.model("sft")
    return Output("sft", model, "SFT model", fields, (problems,), beside=(first.log("sft"),))


def make(tools: Tools, current: Round, owed: Sequence[Output]) -> str:
    """Raises ModelError."""
    from scdpo.training.plan import expected_steps

    settings = current.run.recipe.sft
    planned = expected_steps(len(current.run.problems("sft")), settings.batch, settings.epochs)
    tools.watcher.begin("sft", "steps", [("sft", planned)], 0)
    (facts,) = tools.workers.map(train_sft_model, [()], settings.threads, tools.watcher.update)
    if not facts:
        return "the model as given"
    evaluated = current.run.manifest().get("sft_source", {}).get("question_is_evaluated", 0)
    left_out = f", {evaluated} solutions left out because their questions are evaluated" if evaluated else ""
    return f"loss {facts['first_loss']:.3f} to {facts['last_loss']:.3f}{left_out}"


def train_sft_model(worker: Worker, report: Callable[[int, int], None]) -> dict[str, Any]:
    """The task: facts of the training, none where there is nothing to train on. Raises ModelError."""
    from scdpo.run.prompts import codec_of, new_marks, starting_tokenizer
    from scdpo.training.train import train_sft

    run, recipe = worker.run, worker.run.recipe
    worker.give_way(recipe.sft.threads)
    problems = run.problems("sft")
    tokenizer, new_tokens = starting_tokenizer(recipe, problems)
    if recipe.model.path and new_tokens and recipe.sft.lora.rank:
        raise ModelError(
            f"sft.lora would not train the new tokens {', '.join(new_marks(recipe))}; set its rank to 0, or take a format "
            "and a prompt without such marks"
        )
    job = worker.job(run.round(1), "sft", report, codec_of(recipe, tokenizer))
    untrained = partial(untrained_model, recipe, tokenizer, new_tokens)
    if not problems:
        model = readable(untrained(), recipe)
        save(job, lambda: model, "The model as given, without SFT.\n")
        return {}
    worked, unspelled = worked_solutions(problems, job.codec)
    if recipe.sft.lora.rank:
        return train_adapters(job, untrained, worked, unspelled, recipe)
    return train_sft(job, readable(untrained(), recipe), worked, unspelled)


def untrained_model(recipe: Recipe, tokenizer: Any, new_tokens: int) -> Any:
    """The model that SFT starts from: the given one, with rows for its new tokens, or a new one."""
    from scdpo.seeds import derive_seed
    from scdpo.training.model_files import load_model
    from scdpo.training.scratch import grow_embeddings, make_model

    settings, seed = recipe.model, derive_seed(recipe.run.seed, "model")
    if not settings.path:
        return make_model(settings, tokenizer, seed)
    model = load_model(settings.place, trust_remote_code=settings.trust_remote_code)
    if new_tokens:
        grow_embeddings(model, len(tokenizer), seed)
    return model


def readable(model: Any, recipe: Recipe) -> Any:
    """The model, where the embedded engine can generate with it. Raises ModelError."""
    from scdpo.engines.transformers_engine import refuse_other_attention

    refuse_other_attention(model, recipe.model.context)
    return model


def worked_solutions(problems: Iterable[Problem], codec: Codec) -> tuple[list[tuple[str, Solution]], int]:
    """(question, solution) of the problems, and how many cannot be read into tokens."""
    from scdpo.solutions.solution import Solution
    from scdpo.solutions.verdict import Verdict

    worked, unspelled = [], 0
    for problem in problems:
        try:
            codec.prompt(problem.question)
            worked.append((problem.question, Solution(codec.read(problem.solution or ""), Verdict("correct"))))
        except ModelError:
            unspelled += 1
    return worked, unspelled


def train_adapters(
    job: TrainingJob, untrained: Callable[[], Any], worked: Sequence[tuple[str, Solution]], unspelled: int, recipe: Recipe
) -> dict[str, Any]:
    """SFT with adapters, which are then merged: what follows starts from a plain model."""
    from scdpo.training.adapters import add_adapters, merged, quantization
    from scdpo.training.model_files import load_model
    from scdpo.training.train import card, train_sft

    settings, lora = recipe.model, recipe.sft.lora
    adapter = replace(job, folder=job.folder.with_name("sft.adapter"))
    if adapter.folder.is_dir():  # trained before, and stopped in the merging
        facts = json.loads(job.log.read_text(encoding="utf-8").splitlines()[-1])
    else:
        is_quantized = settings.path and lora.quantize
        model = load_model(settings.place, quantization(lora), settings.trust_remote_code) if is_quantized else untrained()
        model = add_adapters(readable(model, recipe), lora, settings.place, job.seed)
        facts = train_sft(adapter, model, worked, unspelled)
    save(job, lambda: merged(untrained(), adapter.folder), card(job, facts), adapter.folder)
    return facts


def save(job: TrainingJob, make: Callable[[], Any], card: str, spent: Path | None = None) -> None:
    """Save a model that no training saves, by one of the launch's processes, and remove what it was made from."""
    from scdpo.training.model_files import save_model
    from scdpo.training.processes import launched

    if launched().is_main_process:
        save_model(make(), job.codec.tokenizer, job.folder, card)
        if spent is not None:
            shutil.rmtree(spent)
    launched().wait_for_everyone()


SFT = Stage(
    "sft",
    "fine-tune the model that sampling and the trainings start from",
    outputs=lambda current: [sft_model(current)],
    make=make,
    launched=True,
    executes=True,
)
