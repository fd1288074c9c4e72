"""The loss: numbers worked out by hand, kept tokens that cancel, and nothing for prompt and kept tokens."""

import math

import pytest
import torch
from hypothesis import given, settings
from transformers import PretrainedConfig

from scdpo.solutions.rendering import RowPair, TreeRow, render
from scdpo.solutions.solution import CodeOutput, Solution, Step
from scdpo.solutions.tree import Branch, SolutionTree
from scdpo.training.collator import Item, collate_pairs, collate_trunks
from scdpo.training.log_probs import pair_log_probs, token_log_probs
from scdpo.training.loss import PairLogProbs, hinge_loss, ipo_loss, keep_positive, pair_losses, sigmoid_loss
from scdpo.training.objectives import PreferenceObjective, SftObjective
from scdpo.training.settings import LossSettings
from tests.conftest import CORRECT, WRONG, make_tree
from tests.solutions.test_tree import TREES

END = 2
PROMPT = (1, 30, 31, 32)


def test_by_hand():
    """beta = 0.1, chosen - rejected = 2 nats: -log sigmoid(0.2) = log(1 + e^-0.2) = 0.598139."""
    loss = sigmoid_loss(torch.tensor([1.5]), torch.tensor([-0.5]), beta=0.1)
    assert loss.item() == pytest.approx(0.598139, abs=1e-6)


def pairs_of(chosen=-10.0, rejected=-9.0, reference=(-11.0, -6.0), tokens=(5, 4), fork=0) -> PairLogProbs:
    """One pair; by default with log-ratios 1 (chosen) and -3 (rejected)."""
    values = (chosen, rejected, *reference, *tokens, fork)
    return PairLogProbs(*(torch.tensor([value]) for value in values))


def loss_of(pairs: PairLogProbs, beta: float = 0.5, **settings) -> float:
    (loss,) = pair_losses(pairs, beta, LossSettings(**settings)).tolist()
    return loss


def test_the_default_is_the_papers():
    """beta = 0.5: chosen -10 - (-11) = 1, rejected -9 - (-6) = -3, difference 4: log(1 + e^-2) = 0.126928."""
    assert loss_of(pairs_of()) == pytest.approx(0.126928, abs=1e-6)
    assert loss_of(pairs_of(fork=3)) == loss_of(pairs_of())


def test_an_untrained_policy_has_log_two():
    zeros = torch.zeros(3)
    pairs = PairLogProbs(zeros, zeros, zeros, zeros, zeros + 1, zeros + 1, zeros)
    assert pair_losses(pairs, 0.1, LossSettings()).tolist() == pytest.approx([math.log(2)] * 3)


def test_label_smoothing_by_hand():
    """0.9 log(1 + e^-2) + 0.1 log(1 + e^2) = 0.9 x 0.126928 + 0.1 x 2.126928 = 0.326928."""
    assert loss_of(pairs_of(), label_smoothing=0.1) == pytest.approx(0.326928, abs=1e-6)
    one, other = torch.tensor([1.0]), torch.tensor([-3.0])
    assert sigmoid_loss(one, other, 0.5, 0.1).item() == pytest.approx(0.326928, abs=1e-6)


def test_ipo_by_hand():
    """(1 - (-3) - 1 / (2 x 0.5))^2 = (4 - 1)^2 = 9."""
    assert ipo_loss(torch.tensor([1.0]), torch.tensor([-3.0]), 0.5).item() == 9.0
    assert loss_of(pairs_of(), kind="ipo") == 9.0


@pytest.mark.parametrize(("beta", "loss"), [(0.1, 0.6), (0.5, 0.0)])
def test_hinge_by_hand(beta, loss):
    """1 - 0.1 x 4 = 0.6; 1 - 0.5 x 4 < 0, so nothing is left."""
    assert hinge_loss(torch.tensor([1.0]), torch.tensor([-3.0]), beta).item() == pytest.approx(loss)
    assert loss_of(pairs_of(), beta, kind="hinge") == pytest.approx(loss)


def test_positive_by_hand():
    """A chosen end above its reference stays as it is. One at log-ratio -2 counts as -2 - 5 x 2 = -12: with rejected -3,
    log(1 + e^(0.5 x 9)) = 4.511048."""
    assert loss_of(pairs_of(), positive=5.0) == loss_of(pairs_of())
    assert keep_positive(torch.tensor([-2.0]), 5.0).item() == -12.0
    assert loss_of(pairs_of(chosen=-13.0), positive=5.0) == pytest.approx(4.511048, abs=1e-6)


def test_length_normalisation_by_hand():
    """1 / 5 - (-3 / 4) = 0.95: log(1 + e^-0.475) = 0.483589."""
    assert loss_of(pairs_of(), length_normalised=True) == pytest.approx(0.483589, abs=1e-6)


def test_sft_term_by_hand():
    """0.126928 + 0.2 x 10 / 5 = 0.526928."""
    assert loss_of(pairs_of(), sft=0.2) == pytest.approx(0.526928, abs=1e-6)


def test_weights_by_kind():
    """Each kind of pair has its own weight; a weight of 0 takes its gradient away."""
    weights = {"naive_weight": 0.0, "step_controlled_weight": 3.0}
    assert loss_of(pairs_of(fork=0), **weights) == 0.0
    assert loss_of(pairs_of(fork=2), **weights) == pytest.approx(3 * 0.126928, abs=3e-6)


def total_loss(model, batch, objective=PreferenceObjective(0.5)) -> torch.Tensor:  # noqa: B008 - it is frozen
    return objective.losses(token_log_probs(model, batch), batch)[0].sum()


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
        batch = collate_pairs([Item(render(tree, PROMPT, END, count_outputs=True))])
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
    row = render(tree, PROMPT, END, count_outputs=True)
    reference = tuple((-3.0, -4.0) for _ in row.pairs)
    losses, gradients = [], []
    for version in (row, counting_everything(row)):
        loss = total_loss(model, collate_pairs([Item(version, reference)]))
        losses.append(loss.item())
        gradients.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert torch.allclose(*gradients, atol=1e-4 * gradients[0].abs().max().item())


def test_no_gradient_for_the_outputs_of_code():
    """No term of the loss is about a token that the model was given: not in a pair, in either layout, and not in SFT."""
    given = Step("c", (11, 12, 13), "code", output=CodeOutput(1, 3))
    other = Step("d", (21, 22, 23), "code", output=CodeOutput(1, 3))
    tree = SolutionTree("p", "q", Solution((given, Step("a", (14,))), CORRECT), (Branch(0, (other,), WRONG),))
    row = render(tree, PROMPT, END)
    for layout in ("tree", "pairs"):
        targets = collate_pairs([Item(row, ((0.0, 0.0),))], layout)["target"].tolist()
        assert sorted(targets) == sorted([11, 14, END, 21, END])
    assert collate_trunks([Item(render(tree.only(()), PROMPT, END))])["target"].tolist() == [11, 14, END]


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
        config = PretrainedConfig()

        def get_decoder(self):
            return lambda **inputs: type("Output", (), {"last_hidden_state": logits})

        def get_output_embeddings(self):
            return torch.nn.Identity()

    total_loss(Reads(), batch).backward()
    touched = logits.grad[0].abs().sum(-1).nonzero()[:, 0].tolist()
    last_shared = len(PROMPT) + 2
    assert min(touched) == last_shared
    assert row.predictors[row.pairs[0].chosen[0]] == row.predictors[row.pairs[0].rejected[0]] == last_shared


def test_sft_counts_the_solution_and_its_end():
    tree = make_tree([[11, 12], [13]], [])
    batch = SftObjective().collate([Item(render(tree, PROMPT, END))])
    assert batch["target"].tolist() == [11, 12, 13, END]
    assert "attention_mask" not in batch
