"""The options of `scdpo bench` and its parts."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any, get_args

from scdpo.precision import Precision

SMOLLM2 = "smollm2-135m"
SOURCE_HELP = "worked solutions: a JSON-lines file, or gsm8k:FILE and the like (docs/problems.md)"


def add_bench(commands: Any) -> None:
    bench = commands.add_parser("bench", help="measure speed against a peer, in one run", description="Measure speed.")
    parts = bench.add_subparsers(dest="part", required=True, metavar="PART")
    text = "answers graded a second, against Math-Verify on the whole text"
    grading = parts.add_parser("grading", help=text, description=f"{text[0].upper()}{text[1:]}.")
    grading.add_argument("--file", help="JSON lines with gold and prediction (whole texts) instead of the made ones")
    grading.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    grading.set_defaults(act=act_grading)
    text = "sessions a second and their memory, against jupyter_client with ipykernel"
    sandbox = parts.add_parser("sandbox", help=text, description=f"{text[0].upper()}{text[1:]}. See docs/sandbox.md.")
    sandbox.add_argument("--sessions", type=int, default=300, metavar="N", help="of ours (default: 300)")
    sandbox.add_argument("--kernels", type=int, default=5, metavar="N", help="sessions of the peer (default: 5)")
    sandbox.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    sandbox.set_defaults(act=act_sandbox)
    add_bench_sampling(parts)
    add_bench_growth(parts)
    text = "seconds until the report page of many trees can be used, in a headless Chromium"
    page = parts.add_parser("page", help=text, description=f"{text[0].upper()}{text[1:]}.")
    page.add_argument("--trees", type=int, default=10_000, metavar="N", help="of the page (default: 10,000)")
    page.add_argument("--tries", type=int, default=5, metavar="N", help="how often it is opened (default: 5)")
    page.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    page.set_defaults(act=act_page)
    text = "seconds and memory of a training step on solution trees, against TRL's DPOTrainer on the same pairs"
    training = parts.add_parser("training", help=text, description=f"{text[0].upper()}{text[1:]}. See docs/training.md.")
    training.add_argument("--against", choices=("trl",), default="trl", help="the peer (default: trl)")
    training.add_argument("--model", default=SMOLLM2, help=f"a model's folder or hub name (default: {SMOLLM2}, of its package)")
    training.add_argument("--data", metavar="SOURCE", default="gsm_symbolic", help=f"{SOURCE_HELP} (default: gsm_symbolic)")
    training.add_argument("--trees", type=int, default=4, metavar="N", help="questions an optimizer step (default: 4)")
    training.add_argument("--branches", type=int, default=2, metavar="N", help="step-controlled pairs a question (default: 2)")
    training.add_argument("--steps", type=int, default=3, metavar="N", help="steps that count (default: 3)")
    training.add_argument("--warm-up", type=int, default=2, metavar="N", help="steps before them (default: 2)")
    training.add_argument("--tokens", type=int, default=512, metavar="N", help="our tokens a micro-batch (default: 512)")
    training.add_argument(
        "--trl-batches",
        type=int,
        nargs="+",
        metavar="N",
        help="TRL's pairs at once to try (default: 1, 2, half and all of a step's)",
    )
    training.add_argument("--precision", choices=get_args(Precision), default="float32", help="of both (default: float32)")
    training.add_argument("--activation-checkpointing", action="store_true", help="of both: less memory, more time")
    training.add_argument("--threads", type=int, default=0, metavar="N", help="of each side (default: the machine's)")
    training.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    training.set_defaults(act=act_training)


def add_bench_sampling(parts: Any) -> None:
    text = "correct-and-wrong pairs a minute of the embedded engine, against transformers' own ways and the authors'"
    bench = parts.add_parser("sampling", help=text, description=f"{text[0].upper()}{text[1:]}. See docs/engines.md.")
    bench.add_argument("--model", default=SMOLLM2, help=f"a model's folder or hub name (default: {SMOLLM2}, of its package)")
    bench.add_argument("--data", metavar="SOURCE", default="gsm_symbolic", help=f"{SOURCE_HELP} (default: gsm_symbolic)")
    numbers = {
        "shots": (2, "worked examples before each question"),
        "problems": (64, "problems, in two halves (one call a step: the first)"),
        "forks": (3, "forks of each worked solution, the last ones"),
        "samples": (4, "the most samples of a problem"),
        "attempts": (8, "the most continuations from a fork"),
        "max-new-tokens": (256, "of a solution"),
        "rows": (64, "requests at once, of all but generate"),
        "threads": (0, "processor threads; 0: the machine's"),
    }
    for name, (default, meaning) in numbers.items():
        bench.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{meaning} (default: {default})")
    bench.add_argument(
        "--batches", type=int, nargs="+", default=[16, 64], metavar="N", help="batches of generate to try (default: 16 64)"
    )
    bench.add_argument("--work", nargs="+", choices=("naive", "fork"), default=["naive", "fork"], help="(default: both)")
    peers = ("generate", "call_per_step", "continuous", "vllm")
    bench.add_argument("--peers", nargs="+", choices=peers, default=list(peers), help="(default: all that are installed)")
    bench.add_argument("--precision", choices=get_args(Precision), default="float32", help="of all (default: float32)")
    bench.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    bench.set_defaults(act=act_sampling)


def add_bench_growth(parts: Any) -> None:
    text = "seconds and memory of sampling and forking by problems (10 times as many), forks and workers"
    growth = parts.add_parser("growth", help=text, description=f"{text[0].upper()}{text[1:]}. See docs/engines.md.")
    growth.add_argument("run", help="a run directory, whose SFT model and recipe are taken")
    growth.add_argument("--problems", type=int, default=500, metavar="N", help="the least problems (default: 500)")
    growth.add_argument("--most-workers", type=int, default=2, metavar="N", help="workers up to (default: 2)")
    growth.add_argument("--block", type=int, default=250, metavar="N", help="problems a block (default: 250)")
    growth.add_argument("--svg", metavar="FILE", help="draw the growth")
    growth.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    growth.set_defaults(act=act_growth)


def act_grading(known: argparse.Namespace, console: Any) -> None:
    from scdpo.cli.bench import bench_grading

    bench_grading(known.file, known.json, console)


def act_sandbox(known: argparse.Namespace, console: Any) -> None:
    from scdpo.cli.bench_sandbox import bench_sandbox

    bench_sandbox(known.sessions, known.kernels, known.json, console)


def act_sampling(known: argparse.Namespace, console: Any) -> None:
    from scdpo.cli.bench_sampling import SamplingBench, bench_sampling

    chosen = {field.name: getattr(known, field.name) for field in fields(SamplingBench)}
    bench_sampling(SamplingBench(**chosen), known.json, console)


def act_growth(known: argparse.Namespace, console: Any) -> None:
    from scdpo.cli.bench_growth import bench_growth

    bench_growth(known.run, known.problems, known.most_workers, known.block, known.svg, known.json, console)


def act_page(known: argparse.Namespace, console: Any) -> None:
    from scdpo.cli.bench_page import bench_page

    bench_page(known.trees, known.tries, known.json, console)


def act_training(known: argparse.Namespace, console: Any) -> None:
    from scdpo.cli.bench_training import TrainingBench, bench_training

    chosen = {field.name: getattr(known, field.name) for field in fields(TrainingBench)}
    bench_training(TrainingBench(**chosen), known.json, console)
