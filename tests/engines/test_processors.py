"""A model as it runs on a processor: the same function of the same parameters, whatever the number of tokens and threads."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from scdpo.engines.attention import GROUPED
from scdpo.engines.interface import Generate
from scdpo.engines.processors import MOST_TOKENS, SlicedLinear, for_processor, slices_of
from scdpo.engines.transformers_engine import TransformersEngine
from tests.conftest import GREEDY, on_processor
from tests.engines.test_engines import run

pytestmark = on_processor
sizes = st.sampled_from([1, 7, 31, 64, 96, 113, 192, 251, 256, 576, 1009, 1536, 2049])
with_mkl = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="only products by MKL are sliced")


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def wide_model() -> LlamaForCausalLM:
    """Wide enough for its matrices to be sliced; three query heads share the keys of each of two groups."""
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=384,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        initializer_range=0.2,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config).eval()


@given(inputs=sizes, outputs=sizes, tokens=st.integers(1, MOST_TOKENS + 3), has_bias=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_a_sliced_layer_is_the_layer(inputs, outputs, tokens, has_bias, seed):
    """Against float64, within float32's rounding of sums of that many terms; any shape in front, any number of tokens."""
    torch.manual_seed(seed)
    layer = nn.Linear(inputs, outputs, bias=has_bias)
    given_tokens = torch.randn(tokens, 1, inputs)
    with torch.inference_mode():
        found = SlicedLinear(layer)(given_tokens)
        exact = layer.double()(given_tokens.double())
    assert found.shape == (tokens, 1, outputs)
    assert (found - exact).abs().max() <= 1e-5


@given(outputs=st.integers(1, 4000), inputs=st.integers(1, 600))
def test_slices_cover_every_output_once(outputs, inputs):
    slices = slices_of(torch.empty(outputs, inputs))
    assert outputs % slices == 0
    assert slices == 1 or 32 <= outputs // slices <= 128


@with_mkl
def test_the_number_of_threads_changes_no_bit(threads):
    layer = SlicedLinear(nn.Linear(576, 1536, bias=False))
    assert layer.slices > 1
    for tokens in (1, 2, 3, 4, 5, 8, 33, 64):
        given_tokens = torch.randn(tokens, 576)
        found = []
        for count in (1, 2):
            threads(count)
            with torch.inference_mode():
                found.append(layer(given_tokens))
        assert torch.equal(*found)


@with_mkl
def test_the_twin_holds_the_models_own_parameters():
    """No copy: what is trained further is what generates; and the model itself is as it was."""
    model = wide_model()
    twin = for_processor(model)
    assert {held.data_ptr() for held in twin.parameters()} == {held.data_ptr() for held in model.parameters()}
    assert any(isinstance(module, SlicedLinear) for module in twin.modules())
    assert not any(isinstance(module, SlicedLinear) for module in model.modules())
    assert (model.config._attn_implementation, twin.config._attn_implementation) == ("sdpa", GROUPED)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        before = twin(ids).logits
        model.model.layers[1].mlp.up_proj.weight.mul_(1.5)
        after = twin(ids).logits
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, model(ids).logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rows", [1, 3, 16])
def test_greedy_over_sliced_products_and_grouped_heads_equals_the_librarys_generate(rows):
    model = wide_model()
    generator = torch.Generator().manual_seed(1)
    prompts = [torch.randint(3, 512, (size,), generator=generator).tolist() for size in (1, 4, 9, 30, 31, 60, 2, 17)]
    found = run(TransformersEngine(model, {2}, {6}, rows, 96), [Generate(tuple(ids), GREEDY, 24) for ids in prompts])
    for ids, completion in zip(prompts, found, strict=True):
        asked = torch.tensor([ids])
        options = {"max_new_tokens": 24, "do_sample": False, "eos_token_id": 2, "pad_token_id": 0}
        theirs = model.generate(asked, attention_mask=torch.ones_like(asked), **options)[0, len(ids) :].tolist()
        assert list(completion.ids) == (theirs[: theirs.index(2)] if 2 in theirs else theirs)
        with torch.no_grad():
            scores = model(torch.tensor([ids + theirs])).logits[0, len(ids) - 1 : -1].log_softmax(-1)
        own = scores.gather(1, torch.tensor(theirs)[:, None])[: len(completion.ids), 0]
        torch.testing.assert_close(torch.tensor(completion.log_probs), own, atol=1e-4, rtol=1e-4)
