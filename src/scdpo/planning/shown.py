"""A plan as text: tables of stages, memory, trees against rows, accelerators, disk and what would fit. And as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from scdpo.planning.accelerators import GIB
from scdpo.planning.fitting import Fleet, Remedy
from scdpo.planning.flops import Efficiency
from scdpo.planning.memory import trainable, weight_bytes
from scdpo.planning.stages import Plan, disk
from scdpo.report.markdown import table
from scdpo.run.precisions import described, grouped

SAMPLED = ("sample", "fork", "evaluate", "credit", "temperature")


def plan_text(
    plan: Plan,
    room: float,
    cores: int,
    fleets: Sequence[Fleet],
    tight: Sequence[str],
    remedies: Sequence[Remedy],
    efficiency: Efficiency,
) -> str:
    """room: bytes of this machine's memory; tight: the stages that do not fit."""
    parts = [
        "## Model\n", model_lines(plan),
        "## What is assumed\n", assumed(plan, efficiency),
        "## Stages\n", stage_table(plan),
        "## Memory of a process at its peak on this machine, GiB\n", memory_table(plan, room, cores),
        "## Trees against rows\n", trees_line(plan),
        "## Accelerators\n", fleet_table(fleets), fleet_note(fleets),
        "## Disk, GiB\n", disk_table(plan),
        "## What does not fit\n", remedy_text(tight, remedies),
    ]  # fmt: skip
    return "\n".join(parts)


def model_lines(plan: Plan) -> str:
    shape, sft, training = plan.shape, plan.here.sft, plan.here.training
    lines = [
        f"{shape.kind}, {plan.place}: {shape.parameters:,} parameters ({shape.layers} layers, width {shape.width}, vocabulary "
        f"{shape.vocabulary:,}); {gib(4 * shape.parameters)} GiB in float32, {gib(2 * shape.parameters)} in bfloat16."
    ]
    if shape.note:
        lines.append(shape.note)
    for name, settings in (("sft", sft), ("training", training)):
        if settings.lora.rank:
            kind = f", frozen weights {settings.lora.quantize}" if settings.lora.quantize else ""
            lines.append(
                f"[{name}] LoRA of rank {settings.lora.rank}: {trainable(shape, settings):,} trained{kind}; "
                f"weights {gib(weight_bytes(shape, settings))} GiB."
            )
    return "\n".join(lines) + "\n"


def assumed(plan: Plan, efficiency: Efficiency) -> str:
    lengths = plan.work.lengths
    return (
        f"Lengths {lengths.how}: prompt {lengths.prompt:.0f} tokens, solution {lengths.solution:.0f}, {lengths.steps:.1f} "
        f"steps, the longest together {lengths.longest}.\nThe model is right in {100 * plan.chances.accuracy:.0f}% of samples "
        f"(--accuracy), problems differing as Beta of concentration {plan.chances.concentration:g} (--concentration).\n"
        f"Accelerators reach {100 * efficiency.training:.0f}% of their products (--mfu) and {100 * efficiency.decoding:.0f}% "
        "of their bandwidth in decoding (--bandwidth-use).\n" + "".join(f"{line}\n" for line in format_lines(plan))
    )


def format_lines(plan: Plan) -> Iterator[str]:
    """What precision = "auto" comes to, here and on accelerators."""
    for choice, sections in grouped(plan.formats).items():
        yield f'Precision "auto" of {sections}: bfloat16 on accelerators; {choice.taken} on this machine: {choice.why}.'


def stage_table(plan: Plan) -> str:
    rows = [
        (s.name, s.units, si(s.tokens), si(s.read) if s.read else "", f"{s.flops / 1e15:,.3g}") for s in plan.stages
    ]  # fmt: skip
    return table(("stage", "units", "tokens computed", "prompt tokens", "PFLOP"), rows)


def memory_table(plan: Plan, room: float, cores: int) -> str:
    head = ("stage", "weights", "gradients, states", "activations", "logits", "cache", "rest", "a process", "at once", "in all")
    rows = []
    for stage in plan.stages:
        m = stage.memory
        rest = m.base + m.casts + m.passing + m.checking + m.heap
        each = (m.weights, m.gradients + m.states, m.activations, m.logits, m.cache, rest, m.total)
        fits = "" if stage.machine_memory <= room else " (too much)"
        rows.append((stage.name, *map(gib, each), str(stage.at_once), gib(stage.machine_memory) + fits))
    return table(head, rows) + f"\nThis machine: {gib(room)} GiB, {cores} cores.\n"


def trees_line(plan: Plan) -> str:
    work = plan.work
    if not work.trees:
        return "No pairs: a problem needs a right and a wrong solution.\n"
    factor = work.row_tokens / work.tree_tokens
    used = ' The recipe sets training.layout = "pairs".' if plan.layout == "pairs" else ""
    return (
        f"One epoch of scdpo, {work.pairs:,.0f} pairs in {work.trees:,.0f} trees: {si(work.tree_tokens)} tokens on trees, "
        f"{si(work.row_tokens)} as two rows a pair: {factor:.2f} times as many.{used}\n"
    )


def fleet_table(fleets: Sequence[Fleet]) -> str:
    rows = []
    for each in fleets:
        part = lambda names, hours=each.hours: sum(hours.get(name, 0.0) for name in names)  # noqa: E731
        made = part(SAMPLED)
        trained = sum(each.hours.values()) - made
        count = str(each.count) if each.count else "does not fit"
        total = sum(each.hours.values())
        numbers = map(hours_text, (each.hours.get("sft", 0.0), trained - each.hours.get("sft", 0.0), made, total))
        used = f"{gib(each.bytes_each)} of {gib(each.accelerator.usable)} ({each.tight})"
        rows.append((each.accelerator.name, count, used, *(numbers if each.count else ("", "", "", ""))))
    return table(("", "GPUs", "GiB each, where most", "SFT, h", "preference, h", "sampling, h", "in all, h"), rows)


def fleet_note(fleets: Sequence[Fleet]) -> str:
    text = "GPUs: the smallest number that fits (or --gpus); trainings sharded over them (FSDP), sampling one worker each.\n"
    if any(each.count is None for each in fleets):
        text += (
            "Does not fit: what each GPU has for itself is too much (a sampling worker's whole model, activations), or a given "
            "--gpus is too few.\n"
        )
    return text


def disk_table(plan: Plan) -> str:
    return table(("", "GiB"), [(name, gib(size)) for name, size in disk(plan).items()])


def remedy_text(tight: Sequence[str], remedies: Sequence[Remedy]) -> str:
    """A line for each set of fields, with the stages that it is for and the largest of their figures."""
    if not tight:
        return "Everything fits.\n"
    mended = {each.stage for each in remedies if each.fits}
    stuck = [name for name in tight if name not in mended]
    text = f"No field that was tried makes these fit: {', '.join(stuck)}.\n" if stuck else ""
    grouped: dict[tuple[str, bool], list[Remedy]] = {}
    for each in remedies:
        words = " ".join(f"--{path} {value}" for path, value in each.fields.items())
        grouped.setdefault((words, each.fits), []).append(each)
    rows = [
        (", ".join(each.stage for each in group), words, gib(max(each.memory for each in group)), "yes" if fits else "no")
        for (words, fits), group in grouped.items()
    ]
    return text + (table(("stages", "with", "GiB", "fits"), rows) if rows else "")


def as_json(
    plan: Plan, room: float, fleets: Sequence[Fleet], remedies: Sequence[Remedy], efficiency: Efficiency
) -> dict[str, Any]:
    """The numbers: bytes, tokens, operations, hours."""
    work = plan.work
    return {
        "model": {"config": plan.place, "parameters": plan.shape.parameters, "shape": asdict(plan.shape)},
        "assumptions": {
            "lengths": asdict(work.lengths), "chances": asdict(plan.chances), "efficiency": asdict(efficiency),
        },
        "precision": described(plan.formats),
        "pairs": {"trees": work.trees, "step_controlled": work.step_controlled, "total": work.pairs},
        "tokens": {"trees": work.tree_tokens, "rows": work.row_tokens},
        "machine_bytes": room,
        "stages": {
            stage.name: {
                "units": stage.units, "tokens": stage.tokens, "prompt_tokens": stage.read, "flops": stage.flops,
                "memory": asdict(stage.memory) | {"total": stage.memory.total}, "at_once": stage.at_once,
                "in_all": stage.machine_memory,
            }
            for stage in plan.stages
        },
        "disk": dict(disk(plan)),
        "accelerators": [
            {"name": e.accelerator.name, "gpus": e.count, "bytes_each": e.bytes_each, "tight": e.tight, "hours": dict(e.hours)}
            for e in fleets
        ],
        "remedies": [asdict(each) for each in remedies],
    }  # fmt: skip


def gib(size: float) -> str:
    return f"{size / GIB:.2f}" if size < 10 * GIB else f"{size / GIB:.1f}"


def si(count: float) -> str:
    """A count with k, M, B or T."""
    for size, sign in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:.2f}{sign}"
    return f"{count:.0f}"


def hours_text(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 100 else f"{hours:.2g}"
