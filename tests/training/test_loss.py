"""The loss: numbers worked out by hand, kept tokens that cancel, and nothing for prompt and kept tokens."""

import math

import pytest
import torch
from hypothesis import given, settings

from scdpo.solutions.rendering import RowPair, TreeRow, render
from scdpo.training.collator import Item, collate_pairs
from scdpo.training.log_probs import pair_log_probs, token_log_probs
from scdpo.training.loss import preference_loss, sigmoid_loss
from scdpo.training.objectives import PreferenceObjective, SftObjective
from tests.conftest import make_tree
from tests.solutions.test_tree import TREES

END = 2
PROMPT = (1, 30, 31, 32)


def test_by_hand():
    """beta = 0.1, chosen - rejected = 2 nats: -log sigmoid(0.2) = log(1 + e^-0.2) = 0.598139."""
    loss = sigmoid_loss(torch.tensor([1.5]), torch.tensor([-0.5]), beta=0.1)
    assert loss.item() == pytest.approx(0.598139, abs=1e-6)


def test_by_hand_from_four_log_probs():
    """beta = 0.5: chosen -10 - (-11) = 1, rejected -9 - (-6) = -3, difference 4: log(1 + e^-2) = 0.126928."""
    loss = preference_loss(*(torch.tensor([value]) for value in (-10.0, -9.0, -11.0, -6.0)), beta=0.5)
    assert loss.item() == pytest.approx(0.126928, abs=1e-6)


def test_an_untrained_policy_has_log_two():
    zeros = torch.zeros(3)
    assert preference_loss(zeros, zeros, zeros, zeros, beta=0.1).tolist() == pytest.approx([math.log(2)] * 3)


def plain_log_probs(model, prefix: list[int], rest: list[int]) -> torch.Tensor:
    """Sum of log p(rest | prefix) with the model's ordinary forward pass."""
    ids = torch.tensor([[*prefix, *rest]])
    logits = model(input_ids=ids).logits[0].log_softmax(-1)
    return sum(logits[place - 1, ids[0, place]] for place in range(len(prefix), ids.shape[1]))


@settings(deadline=None, max_examples=40)
@given(tree=TREES)
def test_a_tree_gives_the_log_probs_of_its_pairs(tree):
    """The row with its 4-D mask gives what each solution gives alone, for any tree."""
    model = cached_model()
    with torch.no_grad():
        batch = collate_pairs([Item(render(tree, PROMPT, END))])
        chosen, rejected = pair_log_probs(token_log_probs(model, batch), batch)
        for number, branch in enumerate(tree.branches):
            kept = [*PROMPT, *(id for step in tree.kept(branch) for id in step.ids)]
            rest = [*tree.trunk.ids[len(kept) - len(PROMPT) :], END]
            wrong = [*(id for step in branch.steps for id in step.ids), END]
            assert chosen[number].item() == pytest.approx(plain_log_probs(model, kept, rest).item(), abs=1e-4)
            assert rejected[number].item() == pytest.approx(plain_log_probs(model, kept, wrong).item(), abs=1e-4)


def cached_model(models: list = []):  # noqa: B006 - one model for all of hypothesis' examples
    """A tiny Llama with 40 tokens."""
    if not models:
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
        models.append(LlamaForCausalLM(LlamaConfig(vocab_size=40, initializer_range=0.3, **sizes)).eval())
    return models[0]


def counting_everything(row: TreeRow) -> TreeRow:
    """The same row with the kept steps counted on both sides of every pair."""
    from dataclasses import replace

    first = row.trunk[0]
    pairs = tuple(
        RowPair(pair.fork, tuple(range(first, row.trunk[-1] + 1)), (*range(first, pair.chosen[0]), *pair.rejected))
        for pair in row.pairs
    )
    return replace(row, pairs=pairs)


@settings(deadline=None, max_examples=25)
@given(tree=TREES)
def test_kept_steps_cancel(tree):
    """The sigmoid loss and its gradient are the same with the kept tokens counted on both sides (docs/loss.md)."""
    model = cached_model()
    row = render(tree, PROMPT, END)
    reference = tuple((-3.0, -4.0) for _ in row.pairs)
    losses, gradients = [], []
    for version in (row, counting_everything(row)):
        loss = PreferenceObjective(0.5).loss(model, collate_pairs([Item(version, reference)]))[0]
        losses.append(loss.item())
        gradients.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert torch.allclose(*gradients, atol=1e-4 * gradients[0].abs().max().item())


def test_no_gradient_for_prompt_and_kept_tokens():
    """No term of the loss predicts a prompt or kept token: what the model says at those places changes nothing."""
    tree = make_tree([[11, 12], [13], [14]], [(2, [[15]])])
    row = render(tree, PROMPT, END)
    batch = collate_pairs([Item(row, ((0.0, 0.0),))])
    predicted = {row.predictors.index(place) for place in batch["predictor"].tolist() if place in row.predictors}
    assert min(predicted) >= len(PROMPT) + 3
    assert sorted(batch["target"].tolist()) == sorted([14, END, 15, END])

    logits = torch.randn(1, len(row), 40, requires_grad=True)

    class Reads(torch.nn.Module):
        def get_decoder(self):
            return lambda **inputs: type("Output", (), {"last_hidden_state": logits})

        def get_output_embeddings(self):
            return torch.nn.Identity()

    PreferenceObjective(0.5).loss(Reads(), batch)[0].backward()
    touched = logits.grad[0].abs().sum(-1).nonzero()[:, 0].tolist()
    last_shared = len(PROMPT) + 2
    assert min(touched) == last_shared
    assert row.predictors[row.pairs[0].chosen[0]] == row.predictors[row.pairs[0].rejected[0]] == last_shared


def test_sft_counts_the_solution_and_its_end():
    tree = make_tree([[11, 12], [13]], [])
    batch = SftObjective().collate([Item(render(tree, PROMPT, END))])
    assert batch["target"].tolist() == [11, 12, 13, END]
    assert "attention_mask" not in batch
