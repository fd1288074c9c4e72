"""TreeTrainer: transformers' Trainer over optimizer steps that were planned beforehand.

The library brings accelerate, checkpoints, resume, schedulers and trackers; what a step holds, how it is cut and what is
minimised are ours (plan, collator, objectives).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from scdpo.errors import ModelError
from scdpo.training.objectives import Objective
from scdpo.training.plan import Step


class TreeTrainer(Trainer):
    """Trains `model` on planned `steps` (see plan_steps), one optimizer update a step.

    A step's micro-batches are computed one after the other and normalised by the whole step's units, so any split gives the
    same update. Raises ModelError where the loss is not finite.
    """

    def __init__(
        self,
        model: Any,
        steps: Sequence[Step],
        objective: Objective,
        args: TrainingArguments,
        callbacks: Sequence[TrainerCallback] = (),
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        self.objective: Objective = objective
        self.figures: dict[str, list[Tensor]] = defaultdict(list)
        self.planned = PlannedSteps(steps)
        super().__init__(
            model=model,
            args=args,
            data_collator=self._collate,  # type: ignore[arg-type]  # one item, a step, becomes a list of micro-batches
            train_dataset=self.planned,
            callbacks=list(callbacks),
            optimizers=(optimizer, None),
        )
        self.remove_callback(PrinterCallback)

    def _collate(self, steps: Sequence[Step]) -> list[dict[str, Tensor]]:
        return [self.objective.collate(items) for step in steps for items in step]

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> SequentialSampler:
        return SequentialSampler(self.planned)  # the plan has shuffled

    def training_step(self, model: Any, inputs: list[dict[str, Tensor]], num_items_in_batch: Any = None) -> Tensor:  # type: ignore[override]
        model.train()
        micro_batches: Any = self._prepare_inputs(inputs)  # type: ignore[arg-type]  # it takes nested lists too
        units = sum(self.objective.units(batch) for batch in micro_batches)
        total = torch.zeros((), device=self.args.device)
        for batch in micro_batches:
            with self.compute_loss_context_manager():
                loss, figures = self.objective.loss(model, batch)
            loss = loss / units
            self.accelerator.backward(loss)
            total += loss.detach()
            for name, values in figures.items():
                self.figures[name].append(values.detach())
        if not math.isfinite(total.item()):
            raise ModelError(f"the loss is {total.item()} at step {self.state.global_step + 1}; lower the learning rate")
        return total

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if self.figures and "loss" in logs:
            means = {name: torch.cat(values) for name, values in self.figures.items()}
            logs |= {name: round(values.mean().item(), 6) for name, values in means.items() if len(values)}
            self.figures.clear()
        super().log(logs, start_time)


class PlannedSteps(Dataset):
    """The planned optimizer steps as a map-style data set: one item is one step."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Step:
        return self.steps[index]


class ReportSteps(TrainerCallback):
    """Calls `report(done, total)` after each optimizer step."""

    def __init__(self, report: Callable[[int, int], None]) -> None:
        self.report = report

    def on_step_end(self, args: TrainingArguments, state: Any, control: Any, **kwargs: Mapping[str, Any]) -> None:
        self.report(state.global_step, state.max_steps)
