"""Keys and values of the requests in flight: a cache of transformers in which every row stands at a place of its own.

Knows rows and places; knows no requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.cache_utils import Cache, CacheLayerMixin

ROOM = 8
"""A store that grows takes an eighth of its width as room beyond what is needed."""


class RowStore(Cache):
    """Keys and values of [rows, capacity] tokens.

    tight: hold no more places than the longest row so far has needed, and grow with it. What is read of a row ends where its
    neighbour begins then; a processor reads memory in one go nearly twice as fast as with gaps in it.
    """

    def __init__(self, layers: int, rows: int, capacity: int, tight: bool) -> None:
        self.row_layers = [RowLayer(rows) for _ in range(layers)]
        self.capacity, self.tight, self.width = capacity, tight, 0
        super().__init__(layers=list(self.row_layers))

    def forget(self) -> None:
        """Be as new: a tight store drops its memory, another keeps it where it lies."""
        if self.tight:
            self.width = 0
        for layer in self.row_layers:
            layer.drop() if self.tight else layer.clear()

    def read_on(self, rows: Tensor, places: Tensor, is_real: Tensor, width: int) -> None:
        """The next forward pass writes tokens at `places` [rows, tokens] of `rows`, those that are real, and reads the first
        `width` places."""
        self._reach(width)
        for layer in self.row_layers:
            layer.target = (rows[:, None], places.where(is_real, self.width), width)

    def step(self, places: Tensor, width: int) -> None:
        """The next forward pass writes one token into each of the first rows, at `places`, and reads `width` places."""
        self._reach(width)
        rows = torch.arange(len(places), device=places.device)
        for layer in self.row_layers:
            layer.target = (rows, places, width)

    def _reach(self, width: int) -> None:
        if width > self.width:
            self.width = min(self.capacity, width + width // ROOM) if self.tight else self.capacity
            for layer in self.row_layers:
                layer.widen(self.width)

    def move(self, moves: Mapping[int, tuple[int, int]]) -> None:
        """Copy to each row the first places of another: row -> (source, how many). No row is both copied and copied to."""
        if not moves or not self.row_layers[0].is_initialized:
            return
        if self.tight:  # each as far as it reaches; elsewhere the number of calls is the cost, and not the reading
            copies: list[tuple[Any, Any, int]] = [(row, source, length) for row, (source, length) in moves.items()]
        else:
            rows, sources = torch.tensor([(row, source) for row, (source, _) in moves.items()]).T.to(
                self.row_layers[0].keys.device
            )
            copies = [(rows, sources, max(length for _, length in moves.values()))]
        for layer in self.row_layers:
            for row, source, length in copies:
                layer.keys[row, :, :length] = layer.keys[source, :, :length]
                layer.values[row, :, :length] = layer.values[source, :, :length]


class RowLayer(CacheLayerMixin):
    """One layer of a RowStore. Behind the last place of each row lies one more, for what is not to be kept."""

    is_sliding = False
    keys: Tensor
    values: Tensor

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows, self.width = rows, 0
        self.target: tuple[Tensor, Tensor, int] = (torch.empty(0), torch.empty(0), 0)

    def drop(self) -> None:
        if self.is_initialized:
            del self.keys, self.values
            self.is_initialized = False

    def clear(self) -> None:
        if self.is_initialized:
            self.keys.zero_()
            self.values.zero_()

    def widen(self, width: int) -> None:
        """Hold `width` places a row from now on."""
        if self.is_initialized:
            self.keys, self.values = (
                functional.pad(held[:, :, : self.width], (0, 0, 0, width + 1 - self.width)) for held in (self.keys, self.values)
            )
        self.width = width

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        shape = (self.rows, key_states.shape[1], self.width + 1)
        self.keys = key_states.new_zeros(*shape, key_states.shape[3])
        self.values = value_states.new_zeros(*shape, value_states.shape[3])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, places, width = self.target
        if places.ndim == 1:  # a step of the first rows
            self.keys[rows, :, places], self.values[rows, :, places] = key_states[:, :, 0], value_states[:, :, 0]
            return self.keys[: len(rows), :, :width], self.values[: len(rows), :, :width]
        self.keys[rows, :, places] = key_states.transpose(1, 2)
        self.values[rows, :, places] = value_states.transpose(1, 2)
        return self.keys[rows[:, 0], :, :width], self.values[rows[:, 0], :, :width]

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return self.width

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.target[2], 0
