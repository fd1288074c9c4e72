"""Training a model and saving it: SFT on solutions, preference training on trees. The stages' functions.

Knows models, rows and folders; knows no run directory and no recipe as a whole.
"""

from __future__ import annotations

import gc
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from scdpo.errors import ModelError
from scdpo.files import write_whole
from scdpo.solutions.codec import Codec
from scdpo.solutions.rendering import TreeRow, render, render_solution
from scdpo.solutions.solution import Solution
from scdpo.solutions.tree import SolutionTree
from scdpo.training.adapters import add_adapters, quantization
from scdpo.training.collator import Item, Layout
from scdpo.training.job import TrainingJob
from scdpo.training.layouts import check_log_probs, choose_layout, set_attention
from scdpo.training.model_files import fingerprint, load_model, save_model
from scdpo.training.objectives import Objective, PreferenceObjective, SftObjective
from scdpo.training.placement import check_launch, is_rounded, place_model, precision_context
from scdpo.training.processes import launched
from scdpo.training.reference import cached_reference, compute
from scdpo.training.settings import OptimizerSettings, PreferenceSettings
from scdpo.training.trackers import PROJECT, end_trackers, prepare_trackers

SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


def rows_of(trees: Sequence[SolutionTree], codec: Codec, context: int) -> tuple[list[TreeRow], dict[str, int]]:
    """The trees as rows, and how many were dropped, by reason: what of them exceeds `context` tokens."""
    every = []
    for tree in trees:
        prompt = codec.prompt(tree.question)
        every.append((render(tree, prompt, codec.end_id, codec.counts_outputs), len(prompt)))
    return fitting(every, context)


def fitting(rows: Iterable[tuple[TreeRow, int]], context: int) -> tuple[list[TreeRow], dict[str, int]]:
    """The rows that fit the context, and how many do not, by reason. rows: each with the tokens of its prompt."""
    fit: list[TreeRow] = []
    dropped: Counter[str] = Counter()
    for row, prompt in rows:
        if row.longest <= context:
            fit.append(row)
        elif prompt >= context:
            dropped["prompt too long"] += 1
        else:
            dropped["trunk too long" if row.positions[row.trunk[-1]] >= context else "branch too long"] += 1
    return fit, dict(dropped)


def train_sft(job: TrainingJob, model: Any, solutions: Iterable[tuple[str, Solution]], unspelled: int = 0) -> dict[str, Any]:
    """Fine-tune `model` on (question, solution) pairs: the loss is on the solutions' tokens. Returns facts of the training.

    unspelled: solutions left out before, because they cannot be read into tokens; counted among the facts.
    Raises ModelError where nothing is left to train on, or the loss is not finite.
    """
    check_launch(job.settings)
    job, codec = job.settled(), job.codec
    every = []
    for question, solution in solutions:
        prompt = codec.prompt(question)
        every.append((render_solution(question, solution, prompt, codec.end_id, codec.counts_outputs), len(prompt)))
    rows, dropped = fitting(every, job.context)
    dropped |= {"not readable": unspelled} if unspelled else {}
    facts = {"solutions": len(rows), "dropped": dropped}
    if rows:
        is_rough = is_rounded(job.settings.precision)
        place_model(model, job.settings.precision if is_rough else "float32")  # numbers are compared
        check_log_probs(model, max(rows, key=len), is_rough)
    return train(job, model, [Item(row) for row in rows], SftObjective(), facts)


def train_preference(job: TrainingJob[PreferenceSettings], trees: Sequence[SolutionTree]) -> dict[str, Any]:
    """DPO from the job's start against its reference, on every pair of the trees. Where both are one model with adapters, the
    reference is the model with these switched off. Returns facts of the training. Raises ModelError as `train_sft` does.
    """
    job = job.settled()
    model, items, layout, facts = with_reference(replace(job, report=lambda *told: None), trees)
    if job.reference not in (None, job.start):
        del model  # its log-probs are all that is needed of it: one model in memory at a time
        gc.collect()
        model = load_trainable(job)
    objective = PreferenceObjective(job.settings.beta, job.settings.loss, layout)
    return train(job, model, items, objective, facts)


def with_reference(
    job: TrainingJob[PreferenceSettings], trees: Sequence[SolutionTree]
) -> tuple[Any, list[Item], Layout, dict[str, Any]]:
    """The reference; the trees that have pairs and fit, with its log-probs; the layout that it takes; and the facts: counts,
    what was dropped by reason, and a note where the layout is not the one to be expected."""
    fit, dropped = rows_of(trees, job.codec, job.context)
    rows = [row for row in fit if row.pairs]
    dropped |= {"no pairs": len(fit) - len(rows)} if len(rows) < len(fit) else {}
    facts = {"trees": len(rows), "pairs": sum(len(row.pairs) for row in rows), "dropped": dropped}
    check_launch(job.settings)
    job = job.settled()
    job = replace(job, start=job.reference or job.start)
    settings, model = job.settings, load_trainable(job)
    if not rows:
        return model, [], "tree", facts
    place_model(model, "float32")  # numbers are compared
    layout, note = choose_layout(model, rows, settings.layout)
    if is_rounded(settings.precision):
        del model
        gc.collect()
        model = load_trainable(job)
    place_model(model, settings.precision)
    set_attention(model, layout)
    with precision_context(settings.precision, launched().device.type):
        ask = partial(
            compute,
            model,
            token_budget=settings.tokens_per_micro_batch,
            layout=layout,
            chunk=settings.logits_per_chunk,
            report=job.report,
        )
        values = cached_reference(reference_file(job), rows, ask)
    items = [Item(row, value) for row, value in zip(rows, values, strict=True)]
    return model, items, layout, facts | {"layout": layout} | ({"note": note} if note else {})


def reference_file(job: TrainingJob) -> Path | None:
    """Where the log-probs of the job's start are kept: by its content, and by whatever else changes them."""
    if job.cache is None or job.start is None:
        return None
    key = "-".join(filter(None, (fingerprint(job.start), job.settings.precision, job.settings.lora.quantize)))
    return job.cache / f"{key}.jsonl"


def load_trainable(job: TrainingJob) -> Any:
    """The job's start, with fresh adapters where its settings ask for them. Raises ModelError."""
    if job.start is None:
        raise ModelError(f"{job.name}: no model to start from")
    lora = job.settings.lora
    model = load_model(job.start, quantization(lora), job.trust_remote_code)
    return add_adapters(model, lora, job.start, job.seed) if lora.rank else model


def train(
    job: TrainingJob, model: Any, items: Sequence[Item], objective: Objective, data_facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Minimise `objective` over the items, continuing from a checkpoint where one is left, and save the model whole.

    Returns `data_facts` with those of the training; they are the log's last line and in the model card.
    """
    from accelerate.utils import DistributedType

    from scdpo.training.interruption import Interruption
    from scdpo.training.optimizer import MuonWithAdamW
    from scdpo.training.plan import plan_steps
    from scdpo.training.trainer import ReportSteps, TreeTrainer

    if not items:
        dropped = ", ".join(f"{reason}: {count}" for reason, count in data_facts["dropped"].items())
        cure = f"everything was left out ({dropped})" if dropped else "sample more problems or raise the attempt limits"
        raise ModelError(f"{job.name}: nothing to train on; {cure}")
    settings = job.settings
    place_model(model, settings.precision)
    layout = objective.layout if isinstance(objective, PreferenceObjective) else "tree"
    set_attention(model, layout)
    processes = launched()
    steps = plan_steps(
        items,
        settings.batch,
        settings.epochs,
        settings.tokens_per_micro_batch,
        job.seed,
        layout,
        processes.num_processes,
        settings.group_by_length,
    )
    prepare_trackers(settings.report_to, job.log)
    tokens = [sum(len(item.row) for part in step for item in part) for step in steps]
    interruption = Interruption(processes.num_processes)
    trainer = TreeTrainer(
        model,
        steps,
        objective,
        training_arguments(settings, job.name, job.seed, len(steps), job.checkpoints),
        callbacks=[ReportSteps(job.report, tokens), interruption],
        optimizer=MuonWithAdamW(model, settings) if settings.optimizer == "muon" else None,
        chunk=settings.logits_per_chunk,
    )
    with processes.main_process_first():
        checkpoint = last_whole_checkpoint(job.checkpoints)
    with interruption:
        trainer.train(resume_from_checkpoint=checkpoint)
    end_trackers(settings.report_to)
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    losses = {"first_loss": history[0]["loss"], "last_loss": history[-1]["loss"]}
    facts = {**data_facts, "steps": len(steps), **losses}
    is_wrapped = trainer.accelerator.distributed_type != DistributedType.NO
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if is_wrapped else None
    if processes.is_main_process:
        write_whole(job.log, "".join(json.dumps(entry) + "\n" for entry in (*history, facts)))
        save_model(model, job.codec.tokenizer, job.folder, card(job, facts), state)
        shutil.rmtree(job.checkpoints, ignore_errors=True)
    processes.wait_for_everyone()
    return facts


def training_arguments(settings: OptimizerSettings, name: str, seed: int, steps: int, checkpoints: Path) -> Any:
    """The settings in the words of transformers' Trainer."""
    from transformers import TrainingArguments

    newer = "activation_checkpointing" in TrainingArguments.__dataclass_fields__
    checkpointing: dict[str, Any] = {
        f"{'activation' if newer else 'gradient'}_checkpointing": settings.activation_checkpointing
    }
    return TrainingArguments(
        output_dir=str(checkpoints),
        run_name=name,
        project=PROJECT,
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=settings.lr,
        lr_scheduler_type=SCHEDULES[settings.schedule],
        warmup_steps=round(settings.warmup * steps),
        max_grad_norm=settings.clip,
        adam_beta2=settings.beta2,
        weight_decay=settings.weight_decay,
        seed=seed % 2**32,
        save_steps=settings.checkpoint_every,
        save_total_limit=1,
        logging_steps=max(1, steps // 50),
        remove_unused_columns=False,
        report_to=list(settings.report_to),
        bf16=settings.precision == "bfloat16",
        disable_tqdm=True,
        use_cpu=launched().device.type == "cpu",
        dataloader_pin_memory=launched().device.type != "cpu",
        **checkpointing,
    )


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


def card(job: TrainingJob, facts: Mapping[str, Any]) -> str:
    """The model card: what the model is, from what run, with which settings."""
    lines = "".join(f"- {name}: {value}\n" for name, value in {**job.facts, **facts}.items())
    front = "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags: [scdpo, math]\n---\n"
    return f"{front}# {job.name}\n\nTrained by scdpo (Step-Controlled DPO, arXiv 2407.00782).\n\n{lines}"
