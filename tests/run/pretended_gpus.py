"""A process of test_launch: scdpo's command line, with accelerate believing that two CPU processes are GPUs, so that it shards.

What it asks a GPU's backend for and gloo does not have is left out. With STUMBLES set, the model's second layer fails on trees.
"""

import os
import sys

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType

from scdpo.cli.main import main
from scdpo.training import placement

set_up, barrier, shard = PartialState.__init__, torch.distributed.barrier, placement._shard


def pretend(self: PartialState, *args, **options) -> None:
    set_up(self, *args, **options)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


def stumble(_, args: tuple, options: dict) -> None:
    if (options["position_ids"].diff() != 1).any():
        raise RuntimeError("branches are not for this model")


def shard_and_say(model, precision: str) -> None:
    if "STUMBLES" in os.environ:
        model.get_decoder().layers[1].register_forward_pre_hook(stumble, with_kwargs=True)
    read = not any(weight.is_meta for weight in model.parameters())
    shard(model, precision)
    here = sum(weight.to_local().numel() for weight in model.parameters())
    sys.stdout.write("weights read\n" * read + f"weights here: {here / model.num_parameters():.2f}\n")
    sys.stdout.flush()


PartialState.__init__ = pretend
placement._shard = shard_and_say
torch.distributed.barrier = lambda *args, **options: barrier()

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
