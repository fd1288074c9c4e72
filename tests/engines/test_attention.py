"""Attention of our own: the same function as attention over repeated keys, and transformers' own where it is bent by more."""

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from scdpo.engines import attention
from scdpo.engines.attention import FOLDED, GROUPED, folded_attention, grouped_attention, with_attention
from tests.conftest import DEVICE

SHAPES = [(grouped_attention, 2), (grouped_attention, 1), (folded_attention, 1)]


@pytest.mark.parametrize("heads", [(6, 2), (4, 1), (4, 4)])
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize(("ours", "tokens"), SHAPES)
def test_it_is_attention_over_repeated_keys(ours, tokens, added, dtype, rounding, heads):
    """For groups of heads, one group, and heads alone; with masks that say what is seen, and such as are added."""
    torch.manual_seed(0)
    sizes = ((heads[0], tokens, 16), (heads[1], 9, 16), (heads[1], 9, 24))
    query, key, value = (torch.randn(3, *size, device=DEVICE, dtype=dtype) for size in sizes)
    visible = torch.rand(3, 1, tokens, 9, device=DEVICE) < 0.5
    visible[..., 0] = True
    mask = torch.where(visible, 0.0, float("-inf")).to(dtype) if added else visible
    found, _ = ours(nn.Module(), query, key, value, mask, scaling=0.3)
    repeats = heads[0] // heads[1]
    scores = query.double() @ key.double().repeat_interleave(repeats, 1).transpose(2, 3) * 0.3
    exact = scores.masked_fill(~visible, float("-inf")).softmax(-1) @ value.double().repeat_interleave(repeats, 1)
    assert found.shape == (3, tokens, heads[0], 24)
    torch.testing.assert_close(found.double(), exact.transpose(1, 2), atol=rounding, rtol=rounding)


@pytest.mark.parametrize("ours", [grouped_attention, folded_attention])
@pytest.mark.parametrize("odd", [{"softcap": 30.0}, {"position_bias": torch.zeros(1, 1, 1, 1)}])
def test_what_attention_is_not_ours_is_left_to_transformers(ours, odd, monkeypatch):
    """A capped score or a bias by position must not be passed over in silence."""
    monkeypatch.setattr(attention, "sdpa_attention_forward", lambda *args, **options: (options, None))
    held = torch.zeros(1, 1, 1, 8)
    options, _ = ours(nn.Module(), held, held, held, torch.ones(1, 1, 1, 1, dtype=torch.bool), **odd)
    assert options.keys() == odd.keys()


@pytest.mark.parametrize(("tokens", "mask_heads"), [(2, 1), (1, 4)])
def test_only_one_token_a_row_is_folded(tokens, mask_heads, monkeypatch):
    """Passes over prompts, and masks of each head's own, go to transformers."""
    monkeypatch.setattr(attention, "sdpa_attention_forward", lambda *args, **options: ("transformers", None))
    query, key = torch.zeros(2, 4, tokens, 8), torch.zeros(2, 2, 3, 8)
    assert folded_attention(nn.Module(), query, key, key, torch.ones(2, mask_heads, tokens, 3) > 0)[0] == "transformers"


@pytest.mark.parametrize("name", [GROUPED, FOLDED])
def test_the_twin_holds_the_models_own_parameters(name):
    """No copy: what is trained further is what generates; and the model itself is as it was."""
    torch.manual_seed(3)
    config = LlamaConfig(vocab_size=64, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=6)
    config.num_key_value_heads = 2
    model = LlamaForCausalLM(config).eval().to(DEVICE)
    twin = with_attention(model, name)
    assert {held.data_ptr() for held in twin.parameters()} == {held.data_ptr() for held in model.parameters()}
    assert (model.config._attn_implementation, twin.config._attn_implementation) == ("sdpa", name)
    ids = torch.tensor([[5, 6, 7]], device=DEVICE)
    with torch.no_grad():
        before = twin(ids).logits
        model.model.layers[1].mlp.up_proj.weight.mul_(1.5)
        after = twin(ids).logits
    assert not torch.equal(before, after)
    torch.testing.assert_close(after, model(ids).logits, atol=1e-4, rtol=1e-4)
