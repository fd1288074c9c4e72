"""TreeTrainer: transformers' Trainer over optimizer steps that were planned beforehand.

The library brings accelerate, checkpoints, resume, schedulers and trackers; what a step holds, how it is cut and what is
minimised are ours (plan, collator, objectives).
"""

from __future__ import annotations

import contextlib
import math
import textwrap
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.utils.data import DataLoader
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from scdpo.errors import ModelError
from scdpo.training.layouts import to_device
from scdpo.training.log_probs import CHUNK, MODEL_INPUTS, forward_counts
from scdpo.training.memory import keep_freed_memory
from scdpo.training.objectives import Objective
from scdpo.training.plan import Step, own_places


class TreeTrainer(Trainer):
    """Trains `model` on planned `steps` (see plan_steps), one optimizer update a step.

    A step's micro-batches are computed one after the other, or by several processes side by side, and normalised by the whole
    step's units, so any split gives the same update. Raises ModelError, naming the tree, where a loss is not finite.
    """

    def __init__(
        self,
        model: Any,
        steps: Sequence[Step],
        objective: Objective,
        args: TrainingArguments,
        callbacks: Sequence[TrainerCallback] = (),
        optimizer: torch.optim.Optimizer | None = None,
        chunk: int = CHUNK,
    ) -> None:
        self.objective: Objective = objective
        self.figures: dict[str, list[Tensor]] = defaultdict(list)
        self.planned = list(steps)
        self.chunk = chunk
        super().__init__(
            model=model, args=args, train_dataset=self.planned, callbacks=list(callbacks), optimizers=(optimizer, None)
        )
        self.remove_callback(PrinterCallback)
        if isinstance(model, FSDPModule):  # by `place`; the library would look for layers to shard, by their former names
            self.accelerator.state.fsdp_plugin.auto_wrap_policy = None

    def train(self, *args: Any, **options: Any) -> Any:
        if self.args.device.type == "cpu":
            keep_freed_memory()
        with forward_counts(self.model, self.chunk):
            return super().train(*args, **options)

    def get_train_dataloader(self) -> DataLoader:
        """Every process gets every step, in the plan's order, and takes its own micro-batches."""
        return DataLoader(self.planned, collate_fn=self._own_part)  # type: ignore[arg-type]  # a list is a map-style data set

    def _own_part(self, steps: Sequence[Step]) -> dict[str, Any]:
        """This process' micro-batches of the one step; a repeated one has no weight."""
        (step,) = steps
        micro_batches = [
            {"batch": self.objective.collate(step[place]), "weight": float(is_own)}
            for place, is_own in own_places(len(step), self.args.world_size, self.args.process_index)
        ]
        return {
            "micro_batches": micro_batches,
            "units": sum(self.objective.units(item) for micro_batch in step for item in micro_batch),
        }

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        model.train()
        micro_batches = inputs["micro_batches"]
        total = torch.zeros((), device=self.args.device)
        computed: list[tuple[Tensor, Sequence[str]]] = []
        for number, (held, weight) in enumerate((part["batch"], part["weight"]) for part in micro_batches):
            # not by the library, which under DeepSpeed rounds reference log-probs to what is computed in
            batch = {name: to_device(value, self.args.device) for name, value in held.items()}
            is_last = number + 1 == len(micro_batches)
            self.accelerator.gradient_state._set_sync_gradients(is_last)  # DeepSpeed updates when told so
            with contextlib.nullcontext() if is_last else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    tokens = model(**{name: batch[name] for name in MODEL_INPUTS if name in batch})
                    losses, figures = self.objective.losses(tokens, batch)
                loss = weight * losses.sum() / inputs["units"]
                self.accelerator.backward(loss * self.args.world_size)  # processes' gradients are averaged
            if weight:
                total += loss.detach()
                computed.append((losses.detach(), batch["names"]))
                for name, values in figures.items():
                    self.figures[name].append(values.detach())
        total = self.accelerator.reduce(total)
        if not math.isfinite(total.item()):
            self._refuse(total.item(), computed)
        return total

    def _refuse(self, total: float, computed: Sequence[tuple[Tensor, Sequence[str]]]) -> None:
        """Raises ModelError, in every process, with the tree that the first loss beyond numbers comes from."""
        units = [(name, value) for losses, names in computed for name, value in zip(names, losses.tolist(), strict=True)]
        found = gather_object([name for name, value in units if not math.isfinite(value)])
        tree = f" (tree {textwrap.shorten(found[0], 80)})" if found else ""
        step = self.state.global_step + 1
        raise ModelError(f"the loss is {total} at step {step}{tree}; lower the learning rate, or look at that tree")

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            own = {name: torch.cat(values) for name, values in self.figures.items()}
            sums = gather_object([{name: (values.sum().item(), len(values)) for name, values in own.items()}])
            self.figures.clear()
            for name in dict.fromkeys(name for part in sums for name in part):
                parts = [part[name] for part in sums if name in part]
                if count := sum(length for _, length in parts):
                    logs[name] = round(sum(value for value, _ in parts) / count, 6)
        super().log(logs, start_time)


class ReportSteps(TrainerCallback):
    """Calls `report(done, total, words)` after each optimizer step, with the loss that was logged last and the tokens a second
    since the training began or went on. lengths: the tokens of each step's rows."""

    def __init__(self, report: Callable[..., None], lengths: Sequence[int]) -> None:
        self.report, self.lengths = report, lengths

    def on_train_begin(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Mapping[str, Any]) -> None:
        self.began, self.first = time.monotonic(), state.global_step

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Mapping[str, Any]) -> None:
        speed = sum(self.lengths[self.first : state.global_step]) / max(time.monotonic() - self.began, 1e-9)
        loss = next((f"loss {entry['loss']:.3f}, " for entry in reversed(state.log_history) if "loss" in entry), "")
        self.report(state.global_step, state.max_steps, f"{loss}{speed:,.0f} tokens/s")
