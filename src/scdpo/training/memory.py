"""Memory of a training on a processor: what tensors free is kept for the next ones.

glibc gives large blocks back to the system, which has to clear the pages again when they are asked for next. That took a
tenth of a training step's time (docs/training.md).
"""

from __future__ import annotations

import ctypes
import sys

# mallopt(3): which blocks are given back when freed, and how much free memory at the heap's end.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """From here on this process keeps what it frees. Without glibc nothing changes."""
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(MMAP_THRESHOLD, 2**30)
    mallopt(TRIM_THRESHOLD, LARGEST)
