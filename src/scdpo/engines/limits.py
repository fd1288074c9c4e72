"""How much the embedded engine holds and computes at once: rows, places to park, tokens of a pass over prompts.

The engine works by these numbers and a plan counts by them. Knows no model; imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

PARKED_SHARE = 4
"""For so many rows there is one more, to park a request that stopped."""
PASS_LEAST = 4
"""Fewer tokens of a prompt are read one by one, beside the rows that generate."""
PASS_TOKENS = 8192
"""The most tokens of one forward pass over prompts, padding included; a longer prompt goes alone."""


def slots(rows: int, can_stop: bool) -> range:
    """The rows of the store after the first `rows`, in which requests that stopped are parked.

    can_stop: whether requests may stop to have code run; without code there is nothing to park.
    """
    return range(rows, rows + (max(1, rows // PARKED_SHARE) if can_stop else 0))


def largest_pass(rows: int, prompt: float) -> float:
    """Tokens of the largest pass over the prompts of so many rows, all of this length."""
    return max(prompt, min(PASS_TOKENS, rows * prompt))


def cut_passes(before: Sequence[int], grid: int) -> Iterator[tuple[list[int], int]]:
    """The rows with PASS_LEAST tokens and more before them, in groups of about equal length and PASS_TOKENS at most, each with
    the length that its rows are padded to: a multiple of grid."""
    rows = sorted((row for row, count in enumerate(before) if count >= PASS_LEAST), key=lambda row: -before[row])
    group: list[int] = []
    longest = 0
    for row in rows:
        if group and (before[row] < before[group[0]] / 2 or (len(group) + 1) * longest > PASS_TOKENS):
            yield group, longest
            group = []
        if not group:
            longest = before[row] + -before[row] % grid
        group.append(row)
    if group:
        yield group, longest
