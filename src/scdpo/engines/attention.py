"""Attention of our own inside a model of transformers: grouped query heads read their keys and values where they lie.

Knows no requests and no cache. Where there is a mask, transformers copies the keys for every query head; some versions of it
do so in each step too.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

GROUPED, FOLDED = "scdpo_grouped", "scdpo_folded"


def with_attention(model: Any, name: str) -> Any:
    """A second module over the parameters and buffers of a causal LM with "sdpa" attention, with the attention GROUPED (for
    processors) or FOLDED (for other devices); the model itself stays as it is."""
    shared = {id(held): held for held in (*model.parameters(), *model.buffers())}
    twin = copy.deepcopy(model, shared)
    AttentionInterface.register(name, {GROUPED: grouped_attention, FOLDED: folded_attention}[name])
    twin.set_attn_implementation(name)
    return twin


def grouped_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """transformers' attention by torch's sdpa, which on processors gives each group of query heads its keys by itself."""
    if attention_mask is None or not _is_plain(options):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    found = F.scaled_dot_product_attention(
        query, key, value, attention_mask, scale=options.get("scaling"), enable_gqa=key.shape[1] < query.shape[1]
    )
    return found.transpose(1, 2).contiguous(), None


def folded_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """transformers' attention where each row has one token: the query heads of a group stand in place of tokens, so that
    any kernel of torch's sdpa reads its keys once. With more tokens it is transformers' own.

    query: [rows, heads, 1, size]; key, value: [rows, groups, width, size]; attention_mask: [rows, 1, 1, width].
    Returns [rows, 1, heads, size].
    """
    rows, heads, tokens, size = query.shape
    if tokens > 1 or attention_mask is None or attention_mask.shape[1] > 1 or not _is_plain(options):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    if attention_mask.dtype not in (torch.bool, query.dtype):  # of a model that is partly of another precision
        attention_mask = attention_mask.to(query.dtype)
    folded = query.reshape(rows, key.shape[1], heads // key.shape[1], size)
    found = F.scaled_dot_product_attention(folded, key, value, attention_mask, scale=options.get("scaling"))
    return found.reshape(rows, 1, heads, value.shape[3]), None


def _is_plain(options: dict[str, Any]) -> bool:
    """Whether scores are bent by nothing that we would pass over in silence."""
    return all(options.get(name) is None for name in ("position_bias", "softcap"))
