"""The processors that this process may use, and how it and those that it starts share them, or a GPU, with others.

Knows no recipe. Imports nothing heavy at the top: what is set here must be set before torch is imported.
"""

from __future__ import annotations

import os
from pathlib import Path

SPINS = "1000"
"""How often an OpenMP thread looks for work before it sleeps: some microseconds (docs/commands.md has measurements)."""
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""The device files of NVIDIA's cards, of those in Windows' Linux, and of AMD's."""


def usable_cores() -> int:
    """The processors left by the machine, the affinity mask, the container's quota (cgroup) and LOKY_MAX_CPU_COUNT.

    At least 1; a part of a processor counts as a whole one. Asked each time, for masks may change.
    """
    from joblib import cpu_count

    return cpu_count()


def usable_threads(asked: int) -> int:
    """The threads that a process which asks for so many gets (0: all): no more than there are processors for it.

    The processes of a launch on this machine share its processors. Threads beyond them would only wait for each other.
    """
    share = max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return min(asked, share) if asked else share


def side_by_side(threads: int) -> int:
    """How many processes of so many threads (0: all) the processors have room for; at least 1. One where a GPU computes: each
    would hold a model of its own there, and wait for the others."""
    if has_gpu():
        return 1
    return max(1, usable_cores() // usable_threads(threads))


def has_gpu() -> bool:
    """Whether torch computes on a GPU here. torch is not imported where no driver has put its file."""
    if not any(Path(file).exists() for file in DRIVERS):
        return False
    import torch

    return torch.cuda.is_available()


def share_cores() -> None:
    """Set what OpenMP reads when torch is first imported, here and in the processes started from here; what the user set stays.

    OMP_NUM_THREADS: OpenMP heeds the affinity mask and no quota. GOMP_SPINCOUNT: how often a thread that waits for the others
    looks before it sleeps. KMP_BLOCKTIME: the same for torch built with Intel's OpenMP, in milliseconds.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_threads(0)))
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
        os.environ.setdefault("KMP_BLOCKTIME", "1")
