"""The two sides of the training bench, each in a process of its own that trains one step whenever it is told to.

Both are transformers' Trainer with the same arguments, model, pairs, order and optimizer; what differs is how a step is
computed.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.waiting import wait_for
from scdpo.precision import training_device
from scdpo.solutions.rendering import TreeRow, as_two_rows
from scdpo.training.settings import PreferenceSettings

GB = 1e9


@dataclass(frozen=True, slots=True)
class Job:
    """What a side is to train: steps of `trees` rows each, in their order.

    model: a folder or hub name, or a shape's folder (see shapes). pairs_a_forward: how many pairs TRL computes at once; 0 for
    our side, whose micro-batches the settings' token budget cuts. liger: TRL with Liger's kernels.
    """

    model: str
    rows: tuple[TreeRow, ...]
    trees: int
    settings: PreferenceSettings
    pairs_a_forward: int = 0
    liger: bool = False

    @property
    def steps(self) -> list[tuple[TreeRow, ...]]:
        return [self.rows[first : first + self.trees] for first in range(0, len(self.rows), self.trees)]


@dataclass(frozen=True, slots=True)
class StepFigures:
    """One optimizer step: its seconds, its loss, and the peak memory so far in GB: of a GPU all that its steps took, of a
    process what it has over its start."""

    seconds: float
    loss: float
    peak: float


def run_side(job: Job, line: Connection) -> None:
    """Load and prepare, say so through `line`, then train a step and send its StepFigures for each message that comes."""
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TQDM_DISABLE": "1"}
    import logging
    import warnings

    import torch

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    if job.settings.threads:
        torch.set_num_threads(job.settings.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = open_model(job)
        before = start_memory()
        trainer = (trl_trainer if job.pairs_a_forward else our_trainer)(job, model, Path(folder))
        watch_steps(trainer, before, line)
        try:
            trainer.train()
        except EOFError:  # the bench has what it wants
            return


def open_model(job: Job) -> Any:
    """The job's model, with fresh adapters where its settings ask for them."""
    from benchmarks.shapes import is_shape, model_of_shape
    from scdpo.training.adapters import add_adapters
    from scdpo.training.model_files import load_model

    model = model_of_shape(job.model, training_device()) if is_shape(job.model) else load_model(job.model)
    return add_adapters(model, job.settings.lora, job.model, seed=0) if job.settings.lora.rank else model


def our_trainer(job: Job, model: Any, folder: Path) -> Any:
    """TreeTrainer on the rows, with their reference log-probs."""
    from scdpo.training.collator import Item
    from scdpo.training.layouts import choose_layout
    from scdpo.training.objectives import PreferenceObjective
    from scdpo.training.placement import place_model, precision_context
    from scdpo.training.plan import split
    from scdpo.training.reference import reference_log_probs
    from scdpo.training.trainer import TreeTrainer

    settings = job.settings
    place_model(model, "float32")  # numbers are compared
    layout, _ = choose_layout(model, job.rows, settings.layout)
    place_model(model, settings.precision)
    with precision_context(settings.precision, model.device.type):
        values = reference_log_probs(model, job.rows, settings.tokens_per_micro_batch, layout, settings.logits_per_chunk)
    reference = dict(zip(job.rows, values, strict=True))
    steps = [split([Item(row, reference[row]) for row in step], settings.tokens_per_micro_batch, layout) for step in job.steps]
    objective = PreferenceObjective(settings.beta, settings.loss, layout)
    return TreeTrainer(model, steps, objective, arguments(job, model, folder), chunk=settings.logits_per_chunk)


def trl_trainer(job: Job, model: Any, folder: Path) -> Any:
    """TRL's DPOTrainer on the same pairs in the same order, reference log-probs precomputed."""
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from transformers import PrinterCallback
    from trl import DPOConfig, DPOTrainer

    from scdpo.training.model_files import load_tokenizer

    class OnIds(DPOTrainer):
        """Takes token ids as they are, one after the other, so that both sides train on the very same tokens."""

        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

        def _get_train_sampler(self, dataset: Any = None) -> Any:
            return SequentialSampler(pairs)

    if job.settings.lora.rank and job.settings.precision == "bfloat16":
        for weight in model.parameters():  # frozen ones in bfloat16, as its users load them
            if not weight.requires_grad:
                weight.data = weight.data.bfloat16()
    pairs = trl_records(job.rows)
    common = arguments(job, model, folder).to_dict()
    known = {name: value for name, value in common.items() if name in DPOConfig.__dataclass_fields__}
    config = DPOConfig(
        **known
        | {
            "beta": job.settings.beta,
            "max_length": None,
            "per_device_train_batch_size": job.pairs_a_forward,
            "gradient_accumulation_steps": len(pairs) // len(job.steps) // job.pairs_a_forward,
            "precompute_ref_log_probs": True,
            "precompute_ref_batch_size": job.pairs_a_forward,
            "gradient_checkpointing": job.settings.activation_checkpointing,
            "use_liger_kernel": job.liger,
        }
    )
    trainer = OnIds(
        model=model, args=config, train_dataset=Dataset.from_list(pairs), processing_class=load_tokenizer(job.model)
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def trl_records(rows: Sequence[TreeRow]) -> list[dict[str, list[int]]]:
    """Each pair of the rows in TRL's tokenized form; its prompt is what both solutions share: question and kept steps."""
    records = []
    for row in rows:
        for pair in row.pairs:
            chosen, rejected = as_two_rows(row, pair)
            kept = chosen.trunk[0]
            ids = {"prompt_ids": chosen.ids[:kept], "chosen_ids": chosen.ids[kept:], "rejected_ids": rejected.ids[kept:]}
            records.append({name: list(values) for name, values in ids.items()})
    return records


def arguments(job: Job, model: Any, folder: Path) -> Any:
    """The arguments that both sides share."""
    from scdpo.training.train import training_arguments

    return training_arguments(job.settings, "bench", 0, len(job.steps), folder / "checkpoints")


def watch_steps(trainer: Any, memory_before: float, line: Connection) -> None:
    """Let the trainer wait for a message before each step and send the step's figures after it.

    memory_before: what the process held, in GB, when its model was loaded and nothing else done.
    """
    import torch
    from transformers import TrainerCallback

    loss_of = trainer.training_step
    losses: list[float] = []

    def training_step(*args: Any, **kwargs: Any) -> Any:
        loss = loss_of(*args, **kwargs)
        losses.append(loss.item())
        return loss

    class Watch(TrainerCallback):
        began = 0.0

        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            line.send(memory_before)
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()  # what was done to prepare is none of a step's
            self.wait()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            wait_for(training_device())
            seconds = time.perf_counter() - self.began
            line.send(StepFigures(seconds, sum(losses), peak_memory() - memory_before))
            losses.clear()
            self.wait()

        def wait(self) -> None:
            line.recv()
            self.began = time.perf_counter()

    trainer.training_step = training_step
    trainer.add_callback(Watch())


def start_memory() -> float:
    """This process' memory now, in GB; the peak is counted from here on where the system allows it (Linux). 0 on a GPU, where
    the weights count, too."""
    import psutil
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return 0.0
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return psutil.Process().memory_info().rss / GB


def peak_memory() -> float:
    """The most memory that this process held since `start_memory`, in GB; a GPU's, where one computes."""
    import resource
    import sys

    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / GB
    status = Path("/proc/self/status")
    if status.exists():
        (peak,) = (text.split()[1] for text in status.read_text().splitlines() if text.startswith("VmHWM"))
        return int(peak) * 1024 / GB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / GB
