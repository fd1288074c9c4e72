"""Keys and values of the requests in flight: a cache of transformers in which every row stands at a place of its own.

Knows rows and places; knows no requests.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin


class RowStore(Cache):
    """Keys and values of [rows, capacity] tokens."""

    def __init__(self, layers: int, rows: int, capacity: int) -> None:
        self.row_layers = [RowLayer(rows, capacity) for _ in range(layers)]
        super().__init__(layers=list(self.row_layers))

    def read_on(self, rows: Tensor, places: Tensor, width: int) -> None:
        """The next forward pass writes tokens at `places` [rows, tokens] of `rows` and reads the first `width` places.

        The place `capacity` is one that nobody reads: for padding.
        """
        for layer in self.row_layers:
            layer.target = (rows, places, width)

    def step(self, places: Tensor, width: int) -> None:
        """The next forward pass writes one token into each of the first rows, at `places`, and reads `width` places."""
        for layer in self.row_layers:
            layer.target = (None, places, width)

    def move(self, source: int, row: int, length: int) -> None:
        """Copy the first `length` places of a row to another."""
        for layer in self.row_layers:
            if layer.is_initialized:
                layer.keys[row, :, :length] = layer.keys[source, :, :length]
                layer.values[row, :, :length] = layer.values[source, :, :length]


class RowLayer(CacheLayerMixin):
    """One layer of a RowStore. Behind the last place of each row lies one more, for what is not to be kept."""

    is_sliding = False
    keys: Tensor
    values: Tensor

    def __init__(self, rows: int, capacity: int) -> None:
        super().__init__()
        self.rows, self.capacity = rows, capacity
        self.target: tuple[Tensor | None, Tensor, int] = (None, torch.empty(0), 0)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        shape = (self.rows, key_states.shape[1], self.capacity + 1)
        self.keys = key_states.new_zeros(*shape, key_states.shape[3])
        self.values = value_states.new_zeros(*shape, value_states.shape[3])
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, places, width = self.target
        if rows is None:
            count = len(places)
            steps = torch.arange(count, device=places.device)
            self.keys[steps, :, places], self.values[steps, :, places] = key_states[:, :, 0], value_states[:, :, 0]
            return self.keys[:count, :, :width], self.values[:count, :, :width]
        self.keys[rows[:, None], :, places] = key_states.transpose(1, 2)
        self.values[rows[:, None], :, places] = value_states.transpose(1, 2)
        return self.keys[rows, :, :width], self.values[rows, :, :width]

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return self.capacity

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.target[2], 0
