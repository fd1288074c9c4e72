"""Where a model's weights lie while it computes: whole in this process, or shared out over all of a launch (FSDP2).

Knows models, processes and precisions; knows no rows.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy

from scdpo.errors import ModelError
from scdpo.training.adapters import round_frozen
from scdpo.training.processes import launched
from scdpo.training.settings import OptimizerSettings


def shards() -> bool:
    """Whether this process was launched with FSDP."""
    if not _is_set("ACCELERATE_USE_FSDP"):
        return False
    launched()  # which joins the processes
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def is_rounded(precision: str) -> bool:
    """Whether a placed model computes in less than float32 whatever surrounds it: sharded weights are rounded when gathered."""
    return shards() and precision != "float32"


def awaits_weights() -> bool:
    """Whether this process need not read a model's weights, because the first one sends them when they are sharded."""
    return shards() and _is_set("FSDP_CPU_RAM_EFFICIENT_LOADING") and not launched().is_main_process


def _is_set(name: str) -> bool:
    return os.environ.get(name, "false").lower() == "true"


def check_launch(settings: OptimizerSettings) -> None:
    """Refuse, before a model is loaded, what sharded weights cannot do. Raises ModelError."""
    from accelerate.utils import DistributedType

    if not shards():
        return
    if launched().distributed_type == DistributedType.MULTI_CPU:
        raise ModelError("the launch is set to FSDP, which accelerate has for GPUs, and there is none; launch with cpu.yaml")
    if settings.optimizer == "muon":
        raise ModelError('optimizer = "muon" updates whole matrices, and FSDP shards them; set it to "adamw"')
    if settings.lora.quantize:
        raise ModelError("lora.quantize is not served with FSDP; launch with gpus.yaml, a quantized model on each GPU")
    if 0 < settings.lora.rank < launched().num_processes:
        count = launched().num_processes
        raise ModelError(f"lora.rank is {settings.lora.rank}: {count} processes cannot share that; raise it or launch fewer")


def place_model(model: Any, precision: str) -> None:
    """Bring a model's weights, in place, to where this process computes: quantized ones are there already.

    With FSDP they are sharded here, before anything is computed and as accelerate would do it for the training, which then
    finds it done. So no device ever holds a whole model, not even for reference log-probs. Raises ModelError.

    precision: what is computed in from now on; for "bfloat16" the frozen weights beside adapters are rounded here, once.
    """
    if not shards():
        if not getattr(model, "is_quantized", False):
            if precision == "bfloat16":
                round_frozen(model)
            model.to(launched().device)
    elif isinstance(model, FSDPModule):
        share_out(model)
    else:
        _shard(model, precision)


def share_out(model: Any) -> None:
    """Share out again what a pass over a sharded model left gathered."""
    for part in model.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


def recover(model: Any) -> None:
    """Make a sharded model ready for another pass where one failed half-way (torch 2.13 and later can)."""
    if isinstance(model, FSDPModule) and hasattr(model, "reset_iter_state"):
        model.reset_iter_state()


def _shard(model: Any, precision: str) -> None:
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import fsdp2_prepare_model

    AcceleratorState._reset_state(reset_partial_state=True)  # as transformers does it for each Trainer
    launched()
    accelerator = Accelerator(mixed_precision="bf16" if precision == "bfloat16" else "no")
    sharding = accelerator.state.fsdp_plugin
    if sharding.fsdp_version != 2:
        raise ModelError("the launch is set to FSDP 1, which is not served; set fsdp_version: 2 in accelerate's configuration")
    if sharding.activation_checkpointing:
        raise ModelError("the launch sets fsdp_activation_checkpointing; set activation_checkpointing in the recipe instead")
    if sharding.mixed_precision_policy is not None:
        sharding.mixed_precision_policy = float32_sums(sharding.mixed_precision_policy)
    fsdp2_prepare_model(accelerator, model)


def float32_sums(policy: MixedPrecisionPolicy) -> MixedPrecisionPolicy:
    """FSDP2's policy with gradients summed and log-probs given in float32, whatever is computed in."""
    return replace(policy, reduce_dtype=torch.float32, output_dtype=None)


def precision_context(precision: str, device: str) -> Any:
    """Autocast to bfloat16 where that is asked for; sharded weights are rounded when they are gathered, and need none."""
    if shards():
        return contextlib.nullcontext()
    return torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16")
