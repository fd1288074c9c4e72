"""Whole trees and pairs apart give the same loss and gradients; models that take no trees are found out."""

import pytest
import torch
from hypothesis import given, settings

from scdpo.errors import ModelError
from scdpo.solutions.rendering import render
from scdpo.training.collator import Item, collate_pairs
from scdpo.training.layouts import choose_layout, to_device
from scdpo.training.log_probs import GRID, on_grid, token_log_probs
from scdpo.training.objectives import PreferenceObjective
from scdpo.training.settings import LossSettings
from tests.conftest import DEVICE, make_tree, on_processor
from tests.solutions.test_tree import TREES
from tests.training.families import FAMILIES, tiny_model

END = 2
ROUNDING = 1e-6 if DEVICE == "cpu" else 1e-4
"""Of losses in float32: other kernels sum in other orders."""
PROMPT = (1, 30, 31, 32)
TREE = make_tree([[11, 12, 5], [13, 14], [15]], [(0, [[20, 21, 22]]), (1, [[23, 24]]), (2, [[25]]), (2, [[26, 27, 9]])])


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    return tiny_model(request.param)


def on_device(batch):
    return {name: to_device(value, torch.device(DEVICE)) for name, value in batch.items()}


def loss_and_gradient(model, tree, layout, chunk=1024):
    row = render(tree, PROMPT, END)
    batch = on_device(collate_pairs([Item(row, tuple((-30.0, -31.0) for _ in row.pairs))], layout))
    objective = PreferenceObjective(0.1, LossSettings(), layout)
    losses, _ = objective.losses(token_log_probs(model, batch, chunk), batch)
    gradients = torch.autograd.grad(losses.sum(), list(model.parameters()), allow_unused=True)
    return losses.detach(), torch.cat([part.flatten() for part in gradients if part is not None])


@settings(deadline=None, max_examples=12)
@given(tree=TREES)
def test_tree_and_pairs_are_equal(model, tree):
    """Losses to ROUNDING, gradients to 1e-4 of their norm, in float32. Of a branch that is its trunk the gradient is 0, up to
    rounding."""
    (losses, gradient), (other_losses, other_gradient) = (loss_and_gradient(model, tree, name) for name in ("tree", "pairs"))
    assert losses.tolist() == pytest.approx(other_losses.tolist(), rel=ROUNDING)
    assert (gradient - other_gradient).norm() <= 1e-4 * other_gradient.norm() + 1e-6


def test_chunks_of_logits_change_nothing(model):
    whole, part = loss_and_gradient(model, TREE, "tree"), loss_and_gradient(model, TREE, "tree", chunk=3)
    assert torch.allclose(whole[0], part[0], rtol=ROUNDING)
    assert (whole[1] - part[1]).norm() <= 1e-5 * whole[1].norm()


@pytest.mark.parametrize("layout", ["tree", "pairs"])
def test_padding_to_a_grid_changes_nothing(model, layout):
    """Two trees of unlike length, padded to the shapes of the grid: the same log-probs and gradients of their tokens."""
    short = make_tree([[11, 12], [13]], [(1, [[20, 21, 22]])])
    batch = on_device(collate_pairs([Item(render(tree, PROMPT, END)) for tree in (TREE, short)], layout))
    wider, count = on_grid(batch), len(batch["target"])
    assert wider["input_ids"].shape[1] % GRID == len(wider["target"]) % GRID == 0
    found = []
    for each in (batch, wider):
        tokens = token_log_probs(model, each)[:count]
        gradients = torch.autograd.grad(tokens.sum(), list(model.parameters()), allow_unused=True)
        found.append((tokens.detach(), torch.cat([part.flatten() for part in gradients if part is not None])))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-5)
    assert (found[0][1] - found[1][1]).norm() <= 1e-5 * found[0][1].norm()


@on_processor
def test_bfloat16_on_a_processor_meets_few_shapes():
    """Micro-batches of any width are computed in the shapes of the grid, under autocast alone."""
    model, widths = tiny_model("llama"), []
    look = lambda module, args, options: widths.append(options["input_ids"].shape[1])  # noqa: E731
    model.get_decoder().register_forward_pre_hook(look, with_kwargs=True)
    for steps in (1, 3, 9):
        batch = collate_pairs([Item(render(make_tree([[11, 12, 5]] * steps, [(0, [[20]])]), PROMPT, END))])
        for enabled in (True, False):
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                assert token_log_probs(model, batch).shape == batch["target"].shape
    assert set(widths[::2]) == {GRID} and len(set(widths[1::2])) == 3


def test_each_family_takes_whole_trees(model):
    assert choose_layout(model, [render(TREE, PROMPT, END)], "auto") == ("tree", "")


@pytest.mark.parametrize("option", ["refuses_4d", "ignores_masks"])
def test_a_model_that_takes_no_4d_mask_gets_pairs(option):
    """Whether it raises or silently looks at everything: it is told, and trained with pairs."""
    model, row = tiny_model("internlm2", **{option: True}), render(TREE, PROMPT, END)
    layout, note = choose_layout(model, [row], "auto")
    assert layout == "pairs"
    assert "takes no 4-D attention mask" in note
    assert choose_layout(model, [row], "pairs") == ("pairs", "")
    with pytest.raises(ModelError, match=r"set training\.layout to \"auto\""):
        choose_layout(model, [row], "tree")


def test_a_window_shorter_than_the_trees_gets_pairs():
    """Behind a 4-D mask a sliding window is lost, which the longest tree shows."""
    model = tiny_model("mistral", sliding_window=4)
    assert choose_layout(model, [render(TREE, PROMPT, END)], "auto")[0] == "pairs"
    assert choose_layout(tiny_model("mistral", sliding_window=64), [render(TREE, PROMPT, END)], "auto")[0] == "tree"


def test_unknown_treatment_of_logits_is_refused():
    """A model whose forward pass does more to its logits than we know of cannot be trained rightly."""
    model = tiny_model("llama")
    plain = model.forward

    def scaled(**inputs):
        output = plain(**inputs)
        output.logits = output.logits * 2
        return output

    model.forward = scaled
    with pytest.raises(ModelError, match="cannot be computed from its hidden states"):
        choose_layout(model, [render(TREE, PROMPT, END)], "auto")


def test_softcapped_logits():
    """Gemma 2 bends its logits and is trained on the bent ones; its eager attention adds masks, so it gets pairs."""
    model = tiny_model("gemma2", final_logit_softcapping=2.0, query_pre_attn_scalar=8, attn_implementation="eager")
    assert choose_layout(model, [render(TREE, PROMPT, END)], "auto")[0] == "pairs"
