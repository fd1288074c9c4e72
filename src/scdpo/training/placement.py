"""Where a model's weights lie while it computes: whole in this process, or shared out over all of a launch (FSDP2).

Knows models, processes and precisions; knows no rows.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scdpo.errors import ModelError
from scdpo.training.processes import launched

if TYPE_CHECKING:
    from torch.distributed.fsdp import MixedPrecisionPolicy


def shards() -> bool:
    """Whether this process was launched with FSDP."""
    return launched().num_processes > 1 and os.environ.get("ACCELERATE_USE_FSDP", "false").lower() == "true"


def place(model: Any, precision: str) -> None:
    """Bring a model's weights, in place, to where this process computes: quantized ones are there already.

    With FSDP they are sharded here, before anything is computed and as accelerate would do it for the training, which then
    finds it done. So no device ever holds a whole model, in the pass for reference log-probs neither.
    """
    if not shards():
        if not getattr(model, "is_quantized", False):
            model.to(launched().device)
        return
    from torch.distributed.fsdp import FSDPModule

    parts = [part for part in model.modules() if isinstance(part, FSDPModule)]
    for part in parts:  # placed before: what a pass left gathered is shared out again
        part.reshard()
    if not parts:
        _shard(model, precision)


def _shard(model: Any, precision: str) -> None:
    """Raises ModelError."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import fsdp2_prepare_model

    AcceleratorState._reset_state(reset_partial_state=True)  # as transformers does it for each Trainer
    launched()
    accelerator = Accelerator(mixed_precision="bf16" if precision == "bfloat16" else "no")
    sharding = accelerator.state.fsdp_plugin
    if sharding.fsdp_version != 2:
        raise ModelError("the launch is set to FSDP 1, which is not served; set fsdp_version: 2 in accelerate's configuration")
    if sharding.mixed_precision_policy is not None:
        sharding.mixed_precision_policy = float32_sums(sharding.mixed_precision_policy)
    fsdp2_prepare_model(accelerator, model)


def float32_sums(policy: MixedPrecisionPolicy) -> MixedPrecisionPolicy:
    """FSDP2's policy with gradients summed and log-probs given in float32, whatever is computed in."""
    import torch

    return replace(policy, reduce_dtype=torch.float32, output_dtype=None)


def check_precision(precision: str, device: str) -> None:
    """Raises ModelError for bfloat16 where it would only be imitated, more slowly than float32."""
    import torch

    supported: dict[str, Callable[[], bool]] = {
        "cuda": lambda: torch.cuda.is_bf16_supported(including_emulation=False),
        "cpu": torch.ops.mkldnn._is_mkldnn_bf16_supported,
    }
    if precision == "bfloat16" and device in supported and not supported[device]():
        raise ModelError('precision = "bfloat16": this machine does not compute in it; set precision to "float32"')


def precision_context(precision: str, device: str) -> Any:
    """Autocast to bfloat16 where that is asked for; sharded weights are rounded when they are gathered, and need none."""
    import torch

    if shards():
        return contextlib.nullcontext()
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")
