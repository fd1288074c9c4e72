"""Seeds of single draws, from what they are for: order, interruptions and worker count change nothing."""

from __future__ import annotations

import hashlib


def derive_seed(run_seed: int, *purpose: str | int) -> int:
    """A 64-bit seed from the run's seed and, for instance, (problem id, fork, attempt)."""
    text = "\x1f".join(map(str, (run_seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
