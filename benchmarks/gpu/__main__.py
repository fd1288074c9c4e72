"""What scdpo does on a GPU, in a few minutes: is it right, how fast, in how much memory, against others on the same card.

    python -m benchmarks.gpu --minutes 8              # on a GPU; writes gpu-DEVICE-DATE.json
    python -m benchmarks.gpu --device cpu             # in small, to see that everything runs
    python -m benchmarks.gpu --sections training run  # some of it

Each section runs in a process of its own and writes as it goes, so that what a cut run has measured is there. TRL, Liger's
kernels and pytest are used where they are installed. See docs/gpu.md.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.record import Record
from benchmarks.gpu.sizes import FULL, SMALL

SHARES = {"right": 4.0, "training": 6.0, "output_layer": 0.5, "sampling": 1.5, "run": 3.0, "plan": 0.2}
"""The sections in their order, and what part of the time each may take of what is left for it and those after it."""
GRACE = 5
"""Seconds that a section may be late before it is stopped."""


def main() -> int:
    options = read_options()
    if options.section:
        sizes = SMALL if options.small else FULL
        fields = {**sizes.run, **dict(options.run)}
        bench = Bench(options.device, sizes, Record(options.record), options.section, options.deadline, fields)
        importlib.import_module(f"benchmarks.gpu.{options.section}").measure(bench)
        return 0
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        print('no GPU that torch can use is here; "--device cpu" runs everything in small', file=sys.stderr)
        return 2
    record = Record.begin(options.out, options.device, options.minutes)
    end = time.time() + 60 * options.minutes
    whole = True
    for number, section in enumerate(options.sections):
        later = sum(SHARES[name] for name in options.sections[number:])
        deadline = time.time() + max(0.0, end - time.time()) * SHARES[section] / later
        whole &= run_section(section, options, record, deadline)
    print(f"the record: {record.file}")
    return 0 if whole else 1


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="What scdpo does on a GPU. See docs/gpu.md.")
    parser.add_argument("--minutes", type=float, default=8.0, metavar="N", help="the time that all sections share (default: 8)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: in small (default: cuda)")
    parser.add_argument("--small", action="store_true", help="in small on a GPU, too")
    parser.add_argument("--sections", nargs="+", choices=tuple(SHARES), default=list(SHARES), help="(default: all)")
    parser.add_argument(
        "--run",
        nargs="+",
        type=field,
        default=[],
        metavar="FIELD=VALUE",
        help="fields of the run, which is the quickstart in small",
    )
    parser.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="where the record goes (default: here)")
    parser.add_argument("--section", choices=tuple(SHARES), help=argparse.SUPPRESS)  # what a section's own process is given
    parser.add_argument("--record", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--deadline", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.small |= options.device == "cpu"
    return options


def field(word: str) -> tuple[str, str]:
    """A recipe's field with its value, from FIELD=VALUE."""
    name, sign, value = word.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f'"{word}" is not FIELD=VALUE')
    return name, value


def run_section(section: str, options: argparse.Namespace, record: Record, deadline: float) -> bool:
    """Whether the section measured all that it was to. One that outlasts its time is stopped with all its processes."""
    words = ["--section", section, "--record", str(record.file.resolve()), "--deadline", str(deadline)]
    words += ["--device", options.device, *(["--small"] if options.small else [])]
    words += ["--run", *(f"{name}={value}" for name, value in options.run)] if options.run else []
    began = time.time()
    variables = os.environ | ({"CUDA_VISIBLE_DEVICES": ""} if options.device == "cpu" else {})
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.gpu", *words], env=variables, start_new_session=True)
    try:
        code = process.wait(timeout=max(0.0, deadline - time.time()) + GRACE)
        ended = "whole" if code == 0 else f"failed with exit code {code}; its last words are in the output"
    except subprocess.TimeoutExpired:
        ended = "stopped at the end of its time"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    record.close(section, time.time() - began, ended)
    print(f"{section:>12}  {ended}, {time.time() - began:.0f} s", flush=True)
    return ended == "whole"


if __name__ == "__main__":
    sys.exit(main())
