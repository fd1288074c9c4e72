"""The order of training: which rows make up each optimizer step, and how a step is cut into micro-batches.

A pure function of the rows and the seed, so a resumed run trains on the same steps. Knows no tensors.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Sequence

from scdpo.training.collator import Item, Layout

MicroBatch = tuple[Item, ...]
Step = tuple[MicroBatch, ...]
GROUP = 20
"""Steps whose items are sorted together by length: the more, the less padding and chance."""


def plan_steps(
    items: Sequence[Item],
    batch: int,
    epochs: float,
    token_budget: int,
    seed: int,
    layout: Layout = "tree",
    processes: int = 1,
    group_by_length: bool = False,
) -> list[Step]:
    """The optimizer steps of `epochs` passes (a part of a pass for a fraction), each pass in an order of its own.

    batch: pairs a step (rows, for rows without pairs). A tree's pairs stay together, so a step may hold fewer; it holds more
    only where a single tree does. Every pair counts the same (paper, section 3.2). layout and processes change only how
    a step is cut (see split). group_by_length: steps of rows of similar length, in an order of their own.
    """
    steps: list[Step] = []
    for epoch in range(int(epochs + 0.999999)):
        rng = random.Random(f"{seed}:{epoch}")
        order = rng.sample(range(len(items)), len(items))
        rows = [items[index] for index in order]
        part = min(1.0, epochs - epoch)
        taken = rows[: max(1, round(part * len(rows)))]
        filled = fill(taken, batch)
        if group_by_length:
            filled = grouped(filled, batch)
            rng.shuffle(filled)
        steps.extend(split(step, token_budget, layout, processes) for step in filled)
    return steps


def expected_steps(weights: int, batch: int, epochs: float) -> int:
    """About how many steps `plan_steps` makes of items with so many pairs (or rows) together: a little fewer where trees of
    several pairs do not fill a step."""
    whole, part = divmod(epochs, 1)
    return int(whole) * -(-weights // batch) + (max(1, -(-round(part * weights) // batch)) if part else 0)


def grouped(steps: Sequence[Sequence[Item]], batch: int) -> list[list[Item]]:
    """The same items in steps of similar length: those of GROUP steps are sorted and gathered again."""
    anew: list[list[Item]] = []
    for first in range(0, len(steps), GROUP):
        among = (item for step in steps[first : first + GROUP] for item in step)
        anew += fill(sorted(among, key=lambda item: len(item.row)), batch)
    return anew


def fill(items: Sequence[Item], batch: int) -> list[list[Item]]:
    """Consecutive items gathered until a step holds `batch` pairs (or rows)."""
    steps: list[list[Item]] = [[]]
    room = batch
    for item in items:
        weight = len(item.row.pairs) or 1
        if weight > room and steps[-1]:
            steps.append([])
            room = batch
        steps[-1].append(item)
        room -= weight
    return [step for step in steps if step]


def split(items: Sequence[Item], token_budget: int, layout: Layout = "tree", processes: int = 1) -> Step:
    """Items of similar size together, each micro-batch within `token_budget` padded tokens (a larger item goes alone).

    With the layout "packed" items of any size stand together, each in the fullest micro-batch that has room for it. With
    "pairs" every pair is cut off on its own, as two rows. Where `processes` share a step, the micro-batches are
    halved until each process has one, as far as there are items.
    """
    single = [pair for item in items for pair in item.by_pair()] if layout == "pairs" else list(items)
    ordered = sorted(single, key=lambda item: size(item, layout), reverse=True)
    parts = filled(ordered, token_budget) if layout == "packed" else padded(ordered, token_budget, layout)
    while len(parts) < processes and (largest := max(parts, key=len))[1:]:
        place, half = parts.index(largest), len(largest) // 2
        parts[place : place + 1] = [largest[:half], largest[half:]]
    return tuple(tuple(part) for part in parts)


def padded(items: Sequence[Item], token_budget: int, layout: Layout) -> list[list[Item]]:
    """Items, the largest first, in micro-batches whose rows are padded to their largest."""
    parts: list[list[Item]] = []
    for item in items:
        if parts and (len(parts[-1]) + 1) * size(parts[-1][0], layout) <= token_budget:
            parts[-1].append(item)
        else:
            parts.append([item])
    return parts


def filled(items: Sequence[Item], token_budget: int) -> list[list[Item]]:
    """Items, the largest first, in micro-batches without padding: each in the one that has least room left for it."""
    parts: list[list[Item]] = []
    rooms: list[tuple[int, int]] = []  # what is left in each part, in order
    for item in items:
        at = bisect_left(rooms, (len(item.row), 0))
        room, place = rooms.pop(at) if at < len(rooms) else (token_budget, len(parts))
        if place == len(parts):
            parts.append([])
        parts[place].append(item)
        insort(rooms, (room - len(item.row), place))
    return parts


def own_places(count: int, processes: int, own: int) -> list[tuple[int, bool]]:
    """Which of a step's `count` micro-batches process `own` computes, in turn with the others, and whether each counts: a
    process for which none is left repeats the last, because the processes wait for each other's forward passes."""
    places = range(own, -(-count // processes) * processes, processes)
    return [(min(place, count - 1), place < count) for place in places]


def size(item: Item, layout: Layout) -> int:
    """The tokens that an item takes in a micro-batch."""
    return 2 * item.row.longest if layout == "pairs" else len(item.row)
