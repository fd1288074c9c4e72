"""A process of test_sharded: losses and gradients of a model whose weights are sharded over the processes (FSDP2)."""

import copy
import itertools

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from scdpo.solutions.rendering import render
from scdpo.training.collator import Item, Layout, collate_pairs
from scdpo.training.layouts import set_attention
from scdpo.training.log_probs import MODEL_INPUTS, forward_counts, token_log_probs
from scdpo.training.objectives import PreferenceObjective
from scdpo.training.placement import float32_sums
from tests.training.families import tiny_model
from tests.training.test_layouts import END, PROMPT, TREE


def largest_difference(family: str, chunk: int, policy: MixedPrecisionPolicy, layout: Layout) -> float:
    """Between the gradients of the sharded model and those of the whole one, as a share of the largest gradient."""
    whole = tiny_model(family)
    sharded = copy.deepcopy(whole)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in sharded.model.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(sharded, mesh=mesh, mp_policy=policy)
    row = render(TREE, PROMPT, END)
    items = [Item(row, tuple((-30.0, -31.0) for _ in row.pairs))]
    batch, packed = collate_pairs(items), collate_pairs(items, layout)
    set_attention(sharded, layout)
    objective = PreferenceObjective(0.1)
    with forward_counts(sharded, chunk):
        tokens = sharded(**{name: packed[name] for name in MODEL_INPUTS if name in packed})
        assert tokens.dtype == torch.float32
        objective.losses(tokens, packed)[0].sum().backward()
    objective.losses(token_log_probs(whole, batch, chunk), batch)[0].sum().backward()
    pairs = zip(sharded.parameters(), whole.parameters(), strict=True)
    gradients = [(part.grad.full_tensor(), other.grad) for part, other in pairs]
    assert all(part.dtype == torch.float32 for part, _ in gradients)
    largest = max(other.abs().max() for _, other in gradients)
    return max(((part - other).abs().max() / largest).item() for part, other in gradients)


if __name__ == "__main__":
    dist.init_process_group("gloo")
    half = MixedPrecisionPolicy(torch.bfloat16, torch.bfloat16, torch.bfloat16)  # as accelerate makes it
    for name, policy in (("float32", MixedPrecisionPolicy()), ("bfloat16", float32_sums(half))):
        ways = itertools.product(("llama", "llama, tied"), (1024, 3), [policy], ("tree", "packed"))
        found = [largest_difference(*way) for way in ways]
        if dist.get_rank() == 0:
            print(f"{name}: {max(found)}")
    dist.destroy_process_group()
