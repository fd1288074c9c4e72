"""Attention over packed trees by FlexAttention, as an attention implementation of transformers.

Knows queries, keys and block masks (training/packing); knows no trees. On a GPU it is compiled, once for each width. On a
processor torch has no backward pass of it, and the same mask function makes a dense mask: right, and for tests.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface

PACKED = "scdpo_packed"
"""What transformers calls it."""
UNSERVED = ("position_bias", "softcap", "s_aux")
"""Further terms of a model's attention that it does not compute."""
RECOMPILES = 64
"""Compiled variants that are kept: widths, number formats, with gradients and without."""


def take_packed_rows(model: Any) -> None:
    """Let a model of transformers compute its attention over packed trees, and nothing else, until it is set otherwise.

    Raises ValueError where the model does not leave its attention to transformers, or drops attention weights.
    """
    config = model.config.get_text_config()
    if getattr(config, "attention_dropout", 0.0):
        raise ValueError("FlexAttention has no attention dropout")
    if not getattr(model, "_supports_flex_attn", False):
        raise ValueError("this model's code has no FlexAttention")
    AttentionInterface.register(PACKED, packed_attention)
    model.set_attn_implementation(PACKED)


def packed_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: BlockMask | Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """One packed row's attention. query: [1, heads, n, features]; key, value: [1, key heads, n, features]; attention_mask:
    blocks of a width of at least n. Returns [1, n, heads, features].

    Queries, keys and values are filled up to the mask's width here, so that the rest of the model computes n tokens.
    """
    unserved = [name for name in UNSERVED if options.get(name) is not None]
    if not isinstance(attention_mask, BlockMask) or unserved:
        raise ValueError(f"packed rows are not for this attention ({', '.join(unserved) or 'no block mask'})")
    tokens, kind = query.shape[2], query.device.type
    parts = [query, key, value]
    if torch.is_autocast_enabled(kind):  # which leaves FlexAttention alone
        parts = [part.to(torch.get_autocast_dtype(kind)) for part in parts]
    room = (0, 0, 0, attention_mask.shape[-1] - tokens)
    query, key, value = (pad(part, room).contiguous() for part in parts)
    found = attend(query, key, value, attention_mask, options.get("scaling"))
    return found[:, :, :tokens].transpose(1, 2).contiguous(), None


def attend(query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, scale: float | None) -> Tensor:
    """FlexAttention, or what it would give where torch has none. Returns [1, heads, width, features]."""
    is_grouped = key.shape[1] < query.shape[1]
    if query.device.type != "cpu":
        with torch.compiler.config.patch(recompile_limit=RECOMPILES):  # type: ignore[attr-defined]
            return compiled()(query, key, value, block_mask=mask, scale=scale, enable_gqa=is_grouped)
    if any(part.requires_grad for part in (query, key, value)):
        return scaled_dot_product_attention(query, key, value, dense(mask), scale=scale, enable_gqa=is_grouped)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
        return flex_attention(query, key, value, block_mask=mask, scale=scale, enable_gqa=is_grouped)


def dense(mask: BlockMask) -> Tensor:
    """What a block mask's function says of every query and key: bool [queries, keys]."""
    queries, keys = (torch.arange(length, device=mask.kv_indices.device) for length in mask.shape[-2:])
    nothing = torch.zeros((), dtype=torch.long, device=queries.device)
    return mask.mask_mod(nothing, nothing, queries[:, None], keys[None, :])


@functools.cache
def compiled() -> Callable[..., Tensor]:
    """FlexAttention as a kernel. Where it cannot be one it fails: run as it is, it would fill a GPU with scores."""
    return torch.compile(flex_attention, dynamic=False, fullgraph=True)
