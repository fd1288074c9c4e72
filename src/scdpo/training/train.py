"""Training a model and saving it: SFT on solutions, preference training on trees. The stages' functions.

Knows models, rows and folders; knows no run directory and no recipe as a whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scdpo.errors import ModelError
from scdpo.solutions.codec import Codec
from scdpo.solutions.rendering import TreeRow, render
from scdpo.solutions.solution import Solution
from scdpo.solutions.tree import SolutionTree
from scdpo.training.collator import Item
from scdpo.training.model_files import fingerprint, load_model, save_model
from scdpo.training.objectives import Objective, PreferenceObjective, SftObjective
from scdpo.training.reference import cached_reference
from scdpo.training.settings import OptimizerSettings, PreferenceSettings

Report = Callable[[int, int], None]
SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


@dataclass(frozen=True, slots=True)
class Training:
    """Where a training's results go and what it is called in logs and cards.

    folder: the model's; log: JSON lines of the training's figures; facts: for the model card.
    """

    name: str
    folder: Path
    log: Path
    seed: int
    facts: Mapping[str, Any]


def rows_of(
    trees: Sequence[SolutionTree], questions: Mapping[str, str], codec: Codec, context: int
) -> tuple[list[TreeRow], int]:
    """The trees as rows, and how many were dropped because one of their solutions exceeds `context` tokens."""
    rows = [render(tree, codec.prompt(questions[tree.problem]), codec.end_id) for tree in trees]
    fitting = [row for row in rows if row.longest <= context]
    return fitting, len(rows) - len(fitting)


def train_sft(
    model: Any,
    solutions: Sequence[tuple[str, Solution]],
    codec: Codec,
    settings: OptimizerSettings,
    context: int,
    training: Training,
    report: Report = lambda done, total: None,
    unspelled: int = 0,
) -> dict[str, Any]:
    """Fine-tune `model` on (question, solution) pairs: the loss is on the solutions' tokens. Returns facts of the training.

    unspelled: solutions left out before, because the tokenizer cannot spell them; counted among the facts.
    Raises ModelError where nothing is left to train on, or the loss is not finite.
    """
    trees = [SolutionTree(str(index), solution) for index, (_, solution) in enumerate(solutions)]
    questions = {str(index): question for index, (question, _) in enumerate(solutions)}
    rows, dropped = rows_of(trees, questions, codec, context)
    facts = {"solutions": len(rows), "dropped_too_long": dropped, "dropped_unspelled": unspelled}
    return train(model, [Item(row) for row in rows], SftObjective(), codec, settings, training, facts, report)


def train_preference(
    reference_folder: Path,
    trees: Sequence[SolutionTree],
    questions: Mapping[str, str],
    codec: Codec,
    settings: PreferenceSettings,
    context: int,
    cache: Path,
    training: Training,
    report: Report = lambda done, total: None,
) -> dict[str, Any]:
    """DPO from the model in `reference_folder`, which is also the frozen reference, on every pair of the trees.

    Returns facts of the training. Raises ModelError as `train_sft` does.
    """
    rows, dropped = rows_of(trees, questions, codec, context)
    rows = [row for row in rows if row.pairs]
    model = load_model(reference_folder)
    budget = settings.tokens_per_micro_batch
    reference = cached_reference(cache, fingerprint(reference_folder), model, rows, budget)
    items = [Item(row, values) for row, values in zip(rows, reference, strict=True)]
    facts = {"trees": len(rows), "pairs": sum(len(row.pairs) for row in rows), "dropped_too_long": dropped}
    return train(model, items, PreferenceObjective(settings.beta), codec, settings, training, facts, report)


def train(
    model: Any,
    items: Sequence[Item],
    objective: Objective,
    codec: Codec,
    settings: OptimizerSettings,
    training: Training,
    data_facts: Mapping[str, Any],
    report: Report = lambda done, total: None,
) -> dict[str, Any]:
    """Minimise `objective` over the items, continuing from a checkpoint where one is left, and save the model whole.

    Returns `data_facts` with those of the training; they are the log's last line and in the model card.
    """
    from transformers import TrainingArguments

    from scdpo.training.optimizer import MuonWithAdamW
    from scdpo.training.plan import plan_steps
    from scdpo.training.trainer import ReportSteps, TreeTrainer

    if not items:
        raise ModelError(f"{training.name}: nothing to train on; sample more problems or raise the attempt limits")
    steps = plan_steps(items, settings.batch, settings.epochs, settings.tokens_per_micro_batch, training.seed)
    checkpoints = training.folder.with_name(training.folder.name + ".checkpoints")
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=len(steps),
        per_device_train_batch_size=1,
        learning_rate=settings.lr,
        lr_scheduler_type=SCHEDULES[settings.schedule],
        warmup_steps=round(settings.warmup * len(steps)),
        max_grad_norm=settings.clip,
        adam_beta2=settings.beta2,
        weight_decay=settings.weight_decay,
        seed=training.seed % 2**32,
        save_steps=settings.checkpoint_every,
        save_total_limit=1,
        logging_steps=max(1, len(steps) // 50),
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
        use_cpu=model.device.type == "cpu",
        dataloader_pin_memory=model.device.type != "cpu",
    )
    trainer = TreeTrainer(
        model,
        steps,
        objective,
        arguments,
        callbacks=[ReportSteps(report)],
        optimizer=MuonWithAdamW(model, settings) if settings.optimizer == "muon" else None,
    )
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(checkpoints))
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    training.log.parent.mkdir(parents=True, exist_ok=True)
    losses = {"first_loss": history[0]["loss"], "last_loss": history[-1]["loss"]}
    facts = {**data_facts, "steps": len(steps), **losses}
    training.log.write_text("".join(json.dumps(entry) + "\n" for entry in (*history, facts)), encoding="utf-8")
    save_model(model.cpu(), codec.tokenizer, training.folder, card(training, facts))
    shutil.rmtree(checkpoints, ignore_errors=True)
    return facts


def last_whole_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; those that a kill or a full disk tore are removed.

    The trainer writes a checkpoint's state last, and removes the one before only afterwards.
    """
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for checkpoint in found:
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
            return str(checkpoint)
        except (OSError, ValueError):
            shutil.rmtree(checkpoint)
    return None


def card(training: Training, facts: Mapping[str, Any]) -> str:
    """The model card: what the model is, from what run, with which settings."""
    lines = "".join(f"- {name}: {value}\n" for name, value in {**training.facts, **facts}.items())
    front = "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags: [scdpo, math]\n---\n"
    return f"{front}# {training.name}\n\nTrained by scdpo (Step-Controlled DPO, arXiv 2407.00782).\n\n{lines}"
