"""Memory of a training: on a processor what tensors free is kept for the next ones; after it all is given back.

glibc gives large blocks back to the system, which has to clear the pages again when they are asked for next. That took a
tenth of a training step's time (docs/benchmarks.md).
"""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any

# mallopt(3): which blocks are given back when freed, and how much free memory at the heap's end.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """From here on this process keeps what it frees. Without glibc nothing changes."""
    if library := _glibc():
        library.mallopt(MMAP_THRESHOLD, 2**30)
        library.mallopt(TRIM_THRESHOLD, LARGEST)


def give_back_memory(trained: bool) -> None:
    """Give what a task has kept back to the system: others need it. trained: whether it was a training; after another task
    nothing is done on a processor, because looking for it takes long. On a GPU a trainer and its model would stay beside the
    next one until Python looks for what holds each other."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None and cuda.is_initialized():
        gc.collect()
        cuda.empty_cache()
    if trained and (library := _glibc()):
        gc.collect()  # a trainer and its model hold each other
        library.malloc_trim(0)


def _glibc() -> Any:
    """The C library, where it is glibc."""
    if sys.platform != "linux":
        return None
    try:
        library = ctypes.CDLL("libc.so.6")
        return library if library.mallopt and library.malloc_trim else None
    except (OSError, AttributeError):
        return None
