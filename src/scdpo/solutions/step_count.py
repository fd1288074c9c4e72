"""Counting steps in a stream of token ids, for the temperature ramp: one count for the codec and all engines.

Knows ids alone: which of them end a step, the codec tells.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


def steps_before(ids: Sequence[int], step_end_ids: Collection[int]) -> list[int]:
    """How many steps have ended before each of the ids and, last, behind them all: [len(ids) + 1].

    Step ends in a row, and those at the very beginning, end no further step.
    """
    counts, inside = [0], False
    for id in ids:
        ends = id in step_end_ids
        counts.append(counts[-1] + (ends and inside))
        inside = not ends
    return counts
