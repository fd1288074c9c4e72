"""What `scdpo plan` would have said of the measured trainings: memory and hours against what came out."""

from __future__ import annotations

from typing import Any

from benchmarks.gpu.bench import Bench
from benchmarks.shapes import SHAPES
from scdpo.planning.accelerators import Accelerator
from scdpo.planning.flops import Efficiency, compute_seconds
from scdpo.planning.memory import Load, training_memory
from scdpo.planning.shape import shape_of
from scdpo.training.settings import LoraSettings, PreferenceSettings

GB = 1e9


def measure(bench: Bench) -> None:
    measured = [each for each in bench.record.measured("training") if each.get("peak_gb") and "scdpo" in each["side"]]
    if not measured:
        bench.add("plan", {"note": "no training was measured"}, "no training was measured")
        return
    peak = next(each for each in bench.record.measured("training") if "tflops" in each)
    for each in measured:
        if not each["side"].endswith("pairs"):
            compare(bench, each, peak["vendor_tflops"] or peak["tflops"])


def compare(bench: Bench, each: dict[str, Any], tflops: float) -> None:
    """A training's peak memory, and seconds a step at the plan's share of the card's peak."""
    case = next(case for case in bench.sizes.cases if case.name == each["case"])
    settings = PreferenceSettings(**each["settings"], lora=LoraSettings(rank=each["rank"]))
    tokens = each["tokens"]["trees"]
    load = Load(
        tokens=min(tokens, settings.tokens_per_micro_batch),
        width=tokens / case.trees,
        counted=each["tokens"]["counted"] / tokens,
        masked=each["side"].endswith("tree"),
    )
    planned = training_memory(shape_of(SHAPES[case.shape]), settings, load, gpu=True)
    memory = (planned.total - planned.checking) / GB  # the check of log-probs is over before the first step
    card = Accelerator("this card", tflops, 0, 0)
    seconds = compute_seconds(each["tflop"] * 1e12, card, 1, Efficiency())
    taken = min(each["seconds"])
    facts = {"planned_gb": memory, "measured_gb": each["peak_gb"], "planned_seconds": seconds, "measured_seconds": taken}
    shown = f"{memory:.2f} GB planned, {each['peak_gb']:.2f} measured; {seconds:.3f} s planned, {taken:.3f} measured"
    bench.add(f"{case.name}; {each['side']}", facts | {"case": case.name, "side": each["side"]}, shown)
