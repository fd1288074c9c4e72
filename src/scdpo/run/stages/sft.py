"""SFT: the model that sampling and the trainings start from, the given one or a new one, trained on the worked solutions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scdpo.errors import ModelError
from scdpo.run.stage import Output, Stage, once

if TYPE_CHECKING:
    from pathlib import Path

    from scdpo.run.directory import Round, RunDirectory
    from scdpo.run.tools import Tools
    from scdpo.run.worker import Worker


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
    """The task: facts of the training, none where there is nothing to train on."""
    from scdpo.engines.transformers_engine import refuse_other_attention
    from scdpo.run.prompts import codec_of, new_marks, starting_tokenizer
    from scdpo.seeds import derive_seed
    from scdpo.solutions.solution import Solution
    from scdpo.solutions.verdict import Verdict
    from scdpo.training.adapters import add_adapters, merged, quantization
    from scdpo.training.model_files import load_model, save_model
    from scdpo.training.processes import launched
    from scdpo.training.scratch import grow_embeddings, make_model
    from scdpo.training.train import card, train_sft

    run = worker.run
    recipe = run.recipe
    worker.give_way(recipe.sft.threads)
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
    training = worker.training_of(run.round(1), "sft")
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


SFT = Stage(
    "sft",
    "fine-tune the model that sampling and the trainings start from",
    outputs=lambda current: [sft_model(current)],
    make=make,
    launched=True,
    executes=True,
)
