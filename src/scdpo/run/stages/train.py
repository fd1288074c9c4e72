"""Training: the models that start where a round starts, side by side where their threads allow it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from scdpo.run.stage import Output, Stage, once
from scdpo.run.stages.fork import forked_trees
from scdpo.run.stages.sample import naive_samples, start_model

if TYPE_CHECKING:
    from scdpo.run.directory import Round
    from scdpo.run.tools import Tools
    from scdpo.run.worker import Worker
    from scdpo.sampling.arms import Arm

RENDERED_WITH = ("prompt", "steps", "code", "model.context", "model.trust_remote_code", "run.seed")
"""What decides which tokens are trained on, beside the trees."""


@once
def trained(current: Round, arm: str) -> Output:
    """One of a round's models."""
    from scdpo.run.fingerprint import fields_of

    run, section = current.run, "rft" if arm == "rft" else "training"
    fields = fields_of(run.fields, (section, *RENDERED_WITH))
    inputs = {each.path: each for each in (forked_trees(current), start_model(current))}
    if arm == "dpo-data-equal":
        inputs[current.samples.path] = naive_samples(current)
    if arm != "rft" and current.reference != current.start:
        reference = start_model(run.round(1))
        inputs[reference.path] = reference
    model = current.model(arm)
    return Output("train", model, f"model {arm}{current.of_round}", fields, tuple(inputs.values()), beside=(current.log(arm),))


def make(tools: Tools, current: Round, owed: Sequence[Output]) -> str:
    from scdpo.cores import usable_threads
    from scdpo.run.directory import round_name

    number, recipe, stage = current.number, current.run.recipe, round_name("train", current.number)
    arms = [output.path.name for output in reversed(owed)]  # the largest first, to end together
    threads = max(usable_threads(recipe.training.threads), usable_threads(recipe.rft.threads))
    if arms != ["rft"]:
        tools.watcher.begin(stage, "micro-batches", [("reference log-probs", 0)], 0)
        list(tools.workers.map(add_reference, [(number,)], recipe.training.threads, tools.watcher.update))
        tools.watcher.stop()
    planned = planned_steps(current)
    tools.watcher.begin(stage, "steps", [(arm, planned[arm]) for arm in arms], 0)
    facts = list(tools.workers.map(train_arm, [(number, arm) for arm in arms], threads, tools.watcher.update))
    return "; ".join([", ".join(arms), *{each["note"] for each in facts if "note" in each}])


def planned_steps(current: Round) -> dict[str, int]:
    """About how many steps each of a round's trainings has."""
    from scdpo.sampling.arms import arm_trees
    from scdpo.training.plan import expected_steps

    forked, recipe = current.read_trees(), current.run.recipe
    samples = current.read_samples() if "dpo-data-equal" in current.arms else []
    planned = {}
    for arm in current.arms:
        trees, settings = arm_trees(arm, forked, samples), recipe.rft if arm == "rft" else recipe.training
        weights = len(trees) if arm == "rft" else sum(len(tree.branches) for tree in trees)
        planned[str(arm)] = expected_steps(weights, settings.batch, settings.epochs)
    return planned


def add_reference(worker: Worker, number: int, report: Callable[[int, int], None]) -> dict[str, Any]:
    """The task before the trainings: the reference log-probs of all the pairs that any of them has, into the run's cache."""
    from scdpo.sampling.arms import all_trees, arm_trees
    from scdpo.training.train import with_reference

    current = worker.run.round(number)
    worker.give_way(current.run.recipe.training.threads)
    forked = current.read_trees()
    is_compared = "dpo-data-equal" in current.arms
    trees = all_trees(forked, current.read_samples()) if is_compared else arm_trees("scdpo", forked, ())
    *_, facts = with_reference(worker.job(current, "scdpo", report), trees)
    return facts


def train_arm(worker: Worker, number: int, arm: Arm, report: Callable[[int, int], None]) -> dict[str, Any]:
    """The task: one model."""
    from scdpo.sampling.arms import arm_trees
    from scdpo.training.train import load_trainable, train_preference, train_sft

    current = worker.run.round(number)
    job = worker.job(current, arm, report)
    worker.give_way(job.settings.threads)
    trees = arm_trees(arm, current.read_trees(), current.read_samples() if arm == "dpo-data-equal" else ())
    if arm == "rft":
        return train_sft(job, load_trainable(job), ((tree.question, tree.trunk) for tree in trees))
    return train_preference(job, trees)


def found(current: Round) -> str:
    from scdpo.run.yields import losses_of

    return losses_of(current)


TRAIN = Stage(
    "train",
    "train rft, dpo, dpo-data-equal and scdpo from the SFT model",
    outputs=lambda current: [trained(current, arm) for arm in current.arms],
    make=make,
    found=found,
    turn="every round",
    launched=True,
)
