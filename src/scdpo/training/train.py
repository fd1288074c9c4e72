"""Training a model and saving it: SFT on solutions, preference training on trees. The stages' functions.

Knows models, rows and folders; knows no run directory and no recipe as a whole.
"""

from __future__ import annotations

import gc
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from scdpo.errors import ModelError
from scdpo.files import write_whole
from scdpo.precision import settled
from scdpo.solutions.codec import Codec
from scdpo.solutions.rendering import TreeRow, render
from scdpo.solutions.solution import Solution
from scdpo.solutions.tree import SolutionTree
from scdpo.training.adapters import add_adapters, quantization
from scdpo.training.collator import Item, Layout
from scdpo.training.layouts import check_log_probs, choose_layout, set_attention
from scdpo.training.model_files import fingerprint, load_model, save_model
from scdpo.training.objectives import Objective, PreferenceObjective, SftObjective
from scdpo.training.placement import check_launch, place, precision_context, rounds
from scdpo.training.processes import launched
from scdpo.training.reference import cached_reference
from scdpo.training.settings import OptimizerSettings, PreferenceSettings
from scdpo.training.trackers import PROJECT, end_trackers, prepare_trackers

Report = Callable[..., None]
"""Called with (done, total), and with words where there are some."""
SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


@dataclass(frozen=True, slots=True)
class Training:
    """Where a training's results go and what it is called in logs and cards.

    folder: the model's, or its adapters'; log: JSON lines of the training's figures; facts: for the model card.
    """

    name: str
    folder: Path
    log: Path
    seed: int
    facts: Mapping[str, Any]


def rows_of(
    trees: Sequence[SolutionTree], questions: Mapping[str, str], codec: Codec, context: int
) -> tuple[list[TreeRow], dict[str, int]]:
    """The trees as rows, and how many were dropped, by reason: what of them exceeds `context` tokens."""
    rows: list[TreeRow] = []
    dropped: Counter[str] = Counter()
    for tree in trees:
        prompt = codec.prompt(questions[tree.problem])
        row = render(tree, prompt, codec.end_id, codec.counts_outputs)
        if row.longest <= context:
            rows.append(row)
        elif len(prompt) >= context:
            dropped["prompt too long"] += 1
        else:
            dropped["trunk too long" if row.positions[row.trunk[-1]] >= context else "branch too long"] += 1
    return rows, dict(dropped)


def train_sft(
    model: Any,
    solutions: Sequence[tuple[str, Solution]],
    codec: Codec,
    settings: OptimizerSettings,
    context: int,
    training: Training,
    report: Report = lambda *told: None,
    unspelled: int = 0,
) -> dict[str, Any]:
    """Fine-tune `model` on (question, solution) pairs: the loss is on the solutions' tokens. Returns facts of the training.

    unspelled: solutions left out before, because they cannot be read into tokens; counted among the facts.
    Raises ModelError where nothing is left to train on, or the loss is not finite.
    """
    check_launch(settings)
    settings = settled(settings, launched().device.type)
    trees = [SolutionTree(question, solution) for question, solution in solutions]
    rows, dropped = rows_of(trees, {question: question for question, _ in solutions}, codec, context)
    dropped |= {"not readable": unspelled} if unspelled else {}
    facts = {"solutions": len(rows), "dropped": dropped}
    if rows:
        is_rough = rounds(settings.precision)
        place(model, settings.precision if is_rough else "float32")  # numbers are compared
        check_log_probs(model, max(rows, key=len), is_rough)
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
    report: Report = lambda *told: None,
    trust_remote_code: bool = False,
    start: Path | None = None,
) -> dict[str, Any]:
    """DPO against the frozen model in `reference_folder`, on every pair of the trees.

    start: the model to train; None: the reference itself, which with adapters is the same model with these switched off.
    Returns facts of the training. Raises ModelError as `train_sft` does.
    """
    settings = settled(settings, launched().device.type)
    load = partial(load_trainable, settings=settings, seed=training.seed, trust_remote_code=trust_remote_code)
    model, items, layout, facts = with_reference(load, reference_folder, trees, questions, codec, settings, context, cache)
    if start not in (None, reference_folder):
        del model  # its log-probs are all that is needed of it: one model in memory at a time
        gc.collect()
        model = load(start)
    objective = PreferenceObjective(settings.beta, settings.loss, layout)
    return train(model, items, objective, codec, settings, training, facts, report)


def with_reference(
    load: Callable[[Path], Any],
    reference_folder: Path,
    trees: Sequence[SolutionTree],
    questions: Mapping[str, str],
    codec: Codec,
    settings: PreferenceSettings,
    context: int,
    cache: Path,
    report: Report = lambda *told: None,
) -> tuple[Any, list[Item], Layout, dict[str, Any]]:
    """The reference; the trees that have pairs and fit, with its log-probs; the layout that it takes; and the facts: counts,
    what was dropped by reason, and a note where the layout is not the one to be expected.

    load: gives the model of a folder, as it is to be trained (load_trainable).
    """
    fitting, dropped = rows_of(trees, questions, codec, context)
    rows = [row for row in fitting if row.pairs]
    dropped |= {"no pairs": len(fitting) - len(rows)} if len(rows) < len(fitting) else {}
    facts = {"trees": len(rows), "pairs": sum(len(row.pairs) for row in rows), "dropped": dropped}
    check_launch(settings)
    settings = settled(settings, launched().device.type)
    model = load(reference_folder)
    if not rows:
        return model, [], "tree", facts
    key = "-".join(filter(None, (fingerprint(reference_folder), settings.precision, settings.lora.quantize)))
    place(model, "float32")  # numbers are compared
    layout, note = choose_layout(model, rows, settings.layout)
    if rounds(settings.precision):
        del model
        gc.collect()
        model = load(reference_folder)
    place(model, settings.precision)
    set_attention(model, layout)
    with precision_context(settings.precision, launched().device.type):
        budget, chunk = settings.tokens_per_micro_batch, settings.logits_per_chunk
        values = cached_reference(cache, key, model, rows, budget, layout, chunk, report)
    items = [Item(row, value) for row, value in zip(rows, values, strict=True)]
    return model, items, layout, facts | {"layout": layout} | ({"note": note} if note else {})


def load_trainable(path: str | Path, settings: OptimizerSettings, seed: int, trust_remote_code: bool = False) -> Any:
    """A model, with fresh adapters where the settings ask for them. Raises ModelError."""
    model = load_model(path, quantization(settings.lora), trust_remote_code)
    return add_adapters(model, settings.lora, path, seed) if settings.lora.rank else model


def train(
    model: Any,
    items: Sequence[Item],
    objective: Objective,
    codec: Codec,
    settings: OptimizerSettings,
    training: Training,
    data_facts: Mapping[str, Any],
    report: Report = lambda *told: None,
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
        raise ModelError(f"{training.name}: nothing to train on; {cure}")
    place(model, settings.precision)
    layout = objective.layout if isinstance(objective, PreferenceObjective) else "tree"
    set_attention(model, layout)
    processes = launched()
    steps = plan_steps(
        items,
        settings.batch,
        settings.epochs,
        settings.tokens_per_micro_batch,
        training.seed,
        layout,
        processes.num_processes,
        settings.group_by_length,
    )
    checkpoints = training.folder.with_name(training.folder.name + ".checkpoints")
    prepare_trackers(settings.report_to, training.log)
    interruption = Interruption(processes.num_processes)
    trainer = TreeTrainer(
        model,
        steps,
        objective,
        training_arguments(settings, training, len(steps), checkpoints),
        callbacks=[ReportSteps(report, [sum(len(item.row) for part in step for item in part) for step in steps]), interruption],
        optimizer=MuonWithAdamW(model, settings) if settings.optimizer == "muon" else None,
        chunk=settings.logits_per_chunk,
    )
    with processes.main_process_first():
        checkpoint = last_whole_checkpoint(checkpoints)
    with interruption:
        trainer.train(resume_from_checkpoint=checkpoint)
    end_trackers(settings.report_to)
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    losses = {"first_loss": history[0]["loss"], "last_loss": history[-1]["loss"]}
    facts = {**data_facts, "steps": len(steps), **losses}
    is_wrapped = trainer.accelerator.distributed_type != DistributedType.NO
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if is_wrapped else None
    if processes.is_main_process:
        write_whole(training.log, "".join(json.dumps(entry) + "\n" for entry in (*history, facts)))
        save_model(model, codec.tokenizer, training.folder, card(training, facts), state)
        shutil.rmtree(checkpoints, ignore_errors=True)
    processes.wait_for_everyone()
    return facts


def training_arguments(settings: OptimizerSettings, training: Training, steps: int, checkpoints: Path) -> Any:
    """The settings in the words of transformers' Trainer."""
    from transformers import TrainingArguments

    newer = "activation_checkpointing" in TrainingArguments.__dataclass_fields__
    checkpointing: dict[str, Any] = {
        f"{'activation' if newer else 'gradient'}_checkpointing": settings.activation_checkpointing
    }
    return TrainingArguments(
        output_dir=str(checkpoints),
        run_name=training.name,
        project=PROJECT,
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=settings.lr,
        lr_scheduler_type=SCHEDULES[settings.schedule],
        warmup_steps=round(settings.warmup * steps),
        max_grad_norm=settings.clip,
        adam_beta2=settings.beta2,
        weight_decay=settings.weight_decay,
        seed=training.seed % 2**32,
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


def card(training: Training, facts: Mapping[str, Any]) -> str:
    """The model card: what the model is, from what run, with which settings."""
    lines = "".join(f"- {name}: {value}\n" for name, value in {**training.facts, **facts}.items())
    front = "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags: [scdpo, math]\n---\n"
    return f"{front}# {training.name}\n\nTrained by scdpo (Step-Controlled DPO, arXiv 2407.00782).\n\n{lines}"
