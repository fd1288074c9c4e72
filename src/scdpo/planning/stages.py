"""A recipe's stages in numbers: units, tokens, operations, memory, and how many processes stand side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

from scdpo.exchange.tree_file import read_tree_file
from scdpo.planning.configs import model_shape
from scdpo.planning.flops import forward_flops, training_flops
from scdpo.planning.lengths import Lengths, lengths_of
from scdpo.planning.memory import (
    FLOAT,
    Load,
    Memory,
    reference_memory,
    sampling_memory,
    state_bytes,
    trainable,
    training_memory,
)
from scdpo.planning.shape import ModelShape
from scdpo.planning.workload import Chances, Given, Workload, workload
from scdpo.precision import Choice
from scdpo.run.precisions import settle_precisions, with_precisions
from scdpo.run.recipe import Recipe
from scdpo.training.settings import OptimizerSettings

RECORD_BYTES = 14.0
"""Bytes of a token in the records: its id, its text, and its share of verdicts. Measured on the quickstart."""
CACHE_BYTES = 95.0
"""Bytes of a pair in the cache of reference log-probs."""
TRAININGS = {"rft": "rft", "dpo": "training", "dpo-data-equal": "training", "scdpo": "training"}


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage. section: the recipe's, that sets its memory; tokens: computed, for decoding stages those written, beside
    `read` of prompts; at_once: processes side by side on this machine; settings, load: of a training."""

    name: str
    section: str
    units: str
    tokens: float
    flops: float
    memory: Memory
    at_once: int
    read: float = 0.0
    settings: OptimizerSettings | None = None
    load: Load | None = None

    @property
    def decodes(self) -> bool:
        return self.section == "engine"

    @property
    def machine_memory(self) -> float:
        """The memory of all processes of the stage on this machine; the command itself waits beside several."""
        return self.memory.total * self.at_once + (self.memory.base if self.at_once > 1 else 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """A recipe in numbers. formats: what precision = "auto" comes to on this machine, and why, by section; the stages' memory
    and settings have it."""

    recipe: Recipe
    shape: ModelShape
    place: str
    work: Workload
    chances: Chances
    formats: Mapping[str, Choice]
    stages: tuple[StagePlan, ...]

    @property
    def layout(self) -> str:
        """What "auto" takes of memory is counted with a dense mask, which is the most."""
        wanted = self.recipe.training.layout
        return "tree" if wanted == "auto" else wanted

    @property
    def here(self) -> Recipe:
        """The recipe as this machine would compute it."""
        return with_precisions(self.recipe, {section: choice.taken for section, choice in self.formats.items()})

    @property
    def on_gpus(self) -> Recipe:
        """The recipe as accelerators would compute it: those that a plan knows all multiply bfloat16."""
        return with_precisions(self.recipe, dict.fromkeys(self.formats, "bfloat16"))

    def stage(self, name: str) -> StagePlan:
        return next(stage for stage in self.stages if stage.name == name)


@dataclass(frozen=True, slots=True)
class Known:
    """What a plan starts from and what other values of fields do not change: the model, lengths, chances, the machine's
    cores, and trees that are given."""

    shape: ModelShape
    place: str
    lengths: Lengths
    chances: Chances
    cores: int
    given: Given | None = None


def known(recipe: Recipe, chances: Chances, cores: int, run: Path | None = None) -> Known:
    """Look up the model's config, the problems' lengths and the given trees. Raises ModelError, ExchangeError."""
    lengths = lengths_of(recipe, run)
    shape, place = model_shape(recipe.model, lengths.vocabulary, run)
    given = None
    if recipe.sampling.trees:
        own = run / "problems" / "trees.jsonl" if run else None
        file = own if own and own.is_file() else recipe.sampling.trees
        kinds = [[branch.is_step_controlled for branch in tree.branches] for tree in read_tree_file(file)]
        controlled = sum(map(sum, kinds))
        given = Given(len(kinds), sum(map(len, kinds)) - controlled, controlled)
    return Known(shape, place, lengths, chances, cores, given)


def make_plan(recipe: Recipe, facts: Known) -> Plan:
    """The numbers of every stage, in the run's order; a round after the first repeats sample, fork and scdpo."""
    lengths = replace(facts.lengths, longest=min(facts.lengths.longest, recipe.model.context))
    work = workload(recipe, lengths, facts.chances, facts.given)
    here, formats = settle_precisions(recipe)
    plan = Plan(recipe, facts.shape, facts.place, work, facts.chances, formats, ())
    stages = [
        *([_training(plan, facts, "sft", here.sft)] if work.sft_rows else []),
        *_sampling(plan, facts),
        _reference(plan, facts),
        *(_training(plan, facts, arm, getattr(here, TRAININGS[arm])) for arm in recipe.run.arms),
        *_studies(plan, facts),
    ]
    return replace(plan, stages=tuple(stage for stage in stages if stage.tokens))


def at_once(cores: int, threads: int, tasks: int) -> int:
    """Processes side by side (run/workers.py): as many as a task's threads leave cores for, and as there are tasks."""
    return max(1, min(cores // (threads or cores), tasks))


def micro_batch(settings: OptimizerSettings, width: float, longest: float, weight: float, rows: float) -> float:
    """Tokens of the largest micro-batch: within the budget, no more than a step or the data has; a longer row goes alone.

    weight: pairs a row (1 for rows without).
    """
    in_step = max(1.0, min(rows, settings.batch / max(weight, 1)))
    return max(longest, min(settings.tokens_per_micro_batch, in_step * (width + longest) / 2))


def _training(plan: Plan, facts: Known, name: str, settings: OptimizerSettings) -> StagePlan:
    work, lengths, shape = plan.work, plan.work.lengths, plan.shape
    most = min(lengths.longest, plan.recipe.context_of(settings))
    if name in ("sft", "rft"):
        rows = work.sft_rows if name == "sft" else work.trees
        tokens, width, longest, weight = rows * lengths.row, lengths.row, float(most), 1.0
        whole = masked = False
        units, counted = f"{rows:,.0f} solutions", lengths.solution / lengths.row
    else:
        tokens = work.arm_tokens(name, plan.layout)
        pairs = work.naive if name == "dpo" else work.pairs
        weight = pairs / work.trees if work.trees else 1.0
        whole, masked = plan.layout != "pairs", plan.layout == "tree"
        width = tokens / work.trees if whole and work.trees else lengths.row
        stretch = most / lengths.row
        longest = width * stretch if whole else 2.0 * most
        units = f"{pairs:,.0f} pairs in {work.trees:,.0f} trees"
        counted = 1 - (work.trees * lengths.prompt / tokens if whole and tokens else lengths.prompt / lengths.row)
        rows = work.trees
    at = micro_batch(settings, width, longest, weight, rows)
    held = _held(work, name) if name != "sft" else tokens
    load = Load(at, longest if whole else most, counted, masked, held)
    flops = settings.epochs * tokens * training_flops(shape, settings, width, counted)
    memory = training_memory(shape, settings, load)
    threads = settings.threads
    if name != "sft":
        cores = facts.cores
        threads = max(plan.recipe.training.threads or cores, plan.recipe.rft.threads or cores)
    count = at_once(facts.cores, threads, 1 if name == "sft" else len(plan.recipe.run.arms))
    section = TRAININGS.get(name, "sft")
    return StagePlan(name, section, units, settings.epochs * tokens, flops, memory, count, settings=settings, load=load)


def _held(work: Workload, name: str) -> float:
    """Tokens of the records that a preference training reads: the trees with what was drawn for them, and all samples where the
    arm takes its pairs from these too."""
    per = work.lengths.solution
    trees = work.trees * per + work.pairs * per + work.problems * work.each.further * per
    return trees + (work.problems * work.each.samples * per if name == "dpo-data-equal" else 0)


def _reference(plan: Plan, facts: Known) -> StagePlan:
    """One forward pass over every pair that any arm has: the trees with both kinds of further branches."""
    work, settings = plan.work, plan.here.training
    further = work.step_controlled if "dpo-data-equal" in plan.recipe.run.arms else 0.0
    largest = _training(plan, facts, "dpo-data-equal" if further else "scdpo", settings)
    tokens = work.arm_tokens("scdpo", plan.layout) + further * work.lengths.solution
    load = largest.load or Load(0, 0, 0, False)
    flops = tokens * forward_flops(plan.shape, load.width, load.counted)
    memory = reference_memory(plan.shape, settings, load)
    units = f"{work.pairs + further:,.0f} pairs"
    return StagePlan("reference", "training", units, tokens, flops, memory, 1, settings=settings, load=load)


def _sampling(plan: Plan, facts: Known) -> list[StagePlan]:
    work, recipe = plan.work, plan.recipe
    each, rounds, per = work.each, recipe.run.rounds, work.lengths.solution
    samples = work.problems * each.samples * rounds
    blocks = ceil(work.problems / recipe.sampling.block)
    continued, further = work.problems * each.continuations * rounds, work.problems * each.further * rounds
    kept = continued * (work.lengths.prompt + work.fork_share * per)
    written = continued * (1 - work.fork_share) * per + further * per
    return [
        _generation(plan, facts, "sample", f"{samples:,.0f} solutions", samples * per, samples * work.lengths.prompt, blocks),
        _generation(plan, facts, "fork", f"{continued:,.0f} + {further:,.0f} solutions", written, kept, blocks),
    ]


def _studies(plan: Plan, facts: Known) -> list[StagePlan]:
    work, recipe = plan.work, plan.recipe
    lengths, per = work.lengths, work.lengths.solution
    answers = work.evaluated * (work.models + recipe.run.rounds - 1)
    blocks = ceil(work.evaluated / recipe.evaluation.block)
    sampled = min(recipe.credit.problems, work.evaluated) * recipe.credit.samples
    wrong = sampled * (1 - plan.chances.accuracy)
    study = recipe.temperature
    curves = min(study.problems, work.evaluated) * len(study.temperatures) * len(study.models)

    def stage(name: str, count: float, tasks: int, scored: float = 0.0) -> StagePlan:
        units = f"{count:,.0f} solutions"
        made = _generation(plan, facts, name, units, count * per, count * lengths.prompt, tasks)
        return replace(made, flops=made.flops + scored * lengths.row * forward_flops(plan.shape, lengths.row))

    return [
        stage("evaluate", answers, blocks * work.models),
        stage("credit", sampled, ceil(sampled / recipe.evaluation.block), wrong * work.models),
        stage("temperature", curves, len(study.temperatures) * len(study.models)),
    ]


def _generation(plan: Plan, facts: Known, name: str, units: str, tokens: float, read: float, tasks: int) -> StagePlan:
    shape, engine, lengths = plan.shape, plan.here.engine, plan.work.lengths
    flops = (tokens + read) * forward_flops(shape, lengths.row, tokens / (tokens + read) if tokens else 0.0)
    recipe = plan.recipe
    block = min(1.0, recipe.sampling.block / plan.work.problems) * tokens / recipe.run.rounds
    held = block if name in ("sample", "fork") else recipe.evaluation.block * lengths.solution
    longest, has_code = longest_written(plan, name), bool(recipe.code.format)
    memory = sampling_memory(shape, engine, recipe.model.context, lengths.prompt, longest, has_code, held)
    return StagePlan(name, "engine", units, tokens, flops, memory, at_once(facts.cores, engine.threads, tasks), read=read)


def longest_written(plan: Plan, stage: str) -> float:
    """Tokens of the longest solution that a decoding stage writes, with its prompt: some go on to the limit."""
    recipe, lengths = plan.recipe, plan.work.lengths
    most = (recipe.sampling if stage in ("sample", "fork") else recipe.evaluation).max_new_tokens
    return min(recipe.model.context, max(lengths.longest, lengths.prompt + most))


def disk(plan: Plan) -> Mapping[str, float]:
    """Bytes that a run leaves or needs for a while: models, the checkpoints of what trains at once, records, the cache."""
    recipe, shape, work = plan.recipe, plan.shape, plan.work
    whole = shape.parameters * FLOAT
    saved = {"sft": whole}
    for arm in recipe.run.arms:
        saved[arm] = trainable(shape, getattr(recipe, TRAININGS[arm])) * FLOAT
    later = (recipe.run.rounds - 1) * (saved["scdpo"] + (whole if recipe.training.lora.rank else 0))
    checkpoints = [saved[name] + state_bytes(shape, s) for name, s in (("sft", recipe.sft), ("scdpo", recipe.training))]
    solutions = sum(stage.tokens for stage in plan.stages if stage.decodes)
    return {
        "models": sum(saved.values()) + later,
        "checkpoints": 2 * max(checkpoints[0], checkpoints[1] * plan.stage("scdpo").at_once if work.trees else 0),
        "records": solutions * RECORD_BYTES,
        "reference cache": (work.pairs + work.step_controlled) * CACHE_BYTES,
    }
