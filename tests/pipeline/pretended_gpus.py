"""A process of test_launch: scdpo's command line, with accelerate believing that two CPU processes are GPUs, so that it shards.

What it asks a GPU's backend for and gloo does not have is left out.
"""

import sys

import torch
from accelerate import PartialState
from accelerate.utils import DistributedType

from scdpo.cli import main

set_up, barrier = PartialState.__init__, torch.distributed.barrier


def pretend(self: PartialState, *args, **options) -> None:
    set_up(self, *args, **options)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


PartialState.__init__ = pretend
torch.distributed.barrier = lambda *args, **options: barrier()

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
