"""How long the quickstart takes: alone, beside a busy process, and on one processor; as a table by stage.

    python benchmarks/demo_time.py                    # all three, one after the other
    python benchmarks/demo_time.py --avx2 --cases alone

--avx2 holds a newer processor to AVX2 (torch, oneDNN and MKL), as most laptops have it. Needs Linux, for affinities.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
CASES = {"alone": "alone", "busy": "one processor kept busy by another process", "one": "on one processor"}


@contextlib.contextmanager
def busy_process(processor: int) -> Iterator[None]:
    """A process that computes without pause on one processor."""
    spinning = subprocess.Popen(
        [sys.executable, "-c", f"import os\nos.sched_setaffinity(0, {{{processor}}})\nwhile True: pass"]
    )
    try:
        yield
    finally:
        spinning.kill()
        spinning.wait()


def run_quickstart(case: str, recipe: str, variables: dict[str, str]) -> tuple[dict[str, float], float]:
    """Seconds by stage, and from the command's start to its end."""
    processors = sorted(os.sched_getaffinity(0))
    own = {processors[0]} if case == "one" else set(processors)
    with tempfile.TemporaryDirectory() as folder, busy_process(processors[-1]) if case == "busy" else contextlib.nullcontext():
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "scdpo", "run", recipe, "--out", f"{folder}/run"],
            env=os.environ | variables,
            check=True,
            preexec_fn=lambda: os.sched_setaffinity(0, own),
        )
        seconds = time.monotonic() - began
        manifest = json.loads(Path(folder, "run", "manifest.json").read_text(encoding="utf-8"))
    return manifest["stage_seconds"], seconds


def processor_name() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="(default: all)")
    parser.add_argument("--avx2", action="store_true", help="hold the processor to AVX2")
    parser.add_argument("--recipe", default="quickstart", help="(default: quickstart)")
    known = parser.parse_args()
    variables = AVX2 if known.avx2 else {}
    found = {case: run_quickstart(case, known.recipe, variables) for case in known.cases}
    held = ", held to AVX2" if known.avx2 else ""
    print(f"\n{processor_name()}, {len(os.sched_getaffinity(0))} processors{held}; seconds\n")
    print("| | " + " | ".join(CASES[case] for case in found) + " |\n|---" + "|---" * len(found) + "|")
    for stage in next(iter(found.values()))[0]:
        print(f"| {stage} | " + " | ".join(f"{stages[stage]:.0f}" for stages, _ in found.values()) + " |")
    print("| the whole command | " + " | ".join(f"{seconds:.0f}" for _, seconds in found.values()) + " |")


if __name__ == "__main__":
    main()
