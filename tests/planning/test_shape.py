"""Parameters, operations and saved activations, against transformers' own models."""

import pytest

from scdpo.errors import ModelError
from scdpo.planning.flops import forward_flops
from scdpo.planning.memory import layer_activations
from scdpo.planning.shape import LLAMAS, shape_of
from scdpo.training.known_configs import CONFIGS

SMALL = {
    "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 6, "vocab_size": 101,
    "pad_token_id": 0,
}  # fmt: skip


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gpt2"])
def test_a_models_own_parameters_and_operations(kind, tied):
    """Parameters, and a forward pass's operations as torch counts them, of Llamas and of others. torch counts all of a row's
    attention, which is that of a row twice as long of which each token sees half."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoConfig, AutoModelForCausalLM

    keys = {} if kind == "gpt2" else {"num_key_value_heads": 2, "head_dim": 8}
    config = AutoConfig.for_model(kind, **SMALL, **keys, tie_word_embeddings=tied, attn_implementation="eager")
    model, length = AutoModelForCausalLM.from_config(config).eval(), 20
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(input_ids=torch.zeros(1, length, dtype=torch.long), use_cache=False)
    shape = shape_of(config.to_dict())
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert length * forward_flops(shape, 2 * length) == counter.get_total_flops()


def test_known_models_have_their_published_sizes():
    """Mistral 7B: 7,241,732,096; Qwen2.5-Math-1.5B: 1,543,714,304; 7B: 7,615,616,512; InternLM2-20B: 19,861,149,696."""
    sizes = {
        "mistralai/Mistral-7B-v0.1": 7_241_732_096,
        "Qwen/Qwen2.5-Math-1.5B-Instruct": 1_543_714_304,
        "Qwen/Qwen2.5-Math-7B-Instruct": 7_615_616_512,
        "internlm/internlm2-20b": 19_861_149_696,
    }
    assert {name: shape_of(CONFIGS[name]).parameters for name in sizes} == sizes


def test_adapters_are_pefts():
    """LoRA on all linear layers has as many parameters as PEFT makes."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**SMALL, num_key_value_heads=2)
    model = get_peft_model(LlamaForCausalLM(config), LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear"))
    made = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert shape_of(config.to_dict()).adapters(4, ("all-linear",)) == made


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("kind", "keys"), [("llama", 6), *((kind, 2) for kind in LLAMAS)])
def test_activations_are_what_autograd_saves(half, masked, kind, keys):
    """The bytes of one more layer, counted over the different storages that a forward pass saves."""
    rows, width = 2, 64
    one_more = saved(kind, 3, half, masked, keys, rows, width) - saved(kind, 2, half, masked, keys, rows, width)
    shape = shape_of({**SMALL, "model_type": kind, "num_key_value_heads": keys})
    casts = 2 * shape.layer_products / shape.layers if half else 0
    assert one_more == layer_activations(shape, half, masked, width) * rows * width + casts


def saved(kind, layers, half, masked, keys, rows, width):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = SMALL | {"num_hidden_layers": layers, "num_key_value_heads": keys}
    config = AutoConfig.for_model(kind, **sizes, tie_word_embeddings=True, attn_implementation="sdpa")
    model = AutoModelForCausalLM.from_config(config).train()
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    given = {}
    if masked:
        mask = torch.ones(width, width).tril().bool()[None, None].repeat(rows, 1, 1, 1)
        given = {"position_ids": torch.arange(width)[None].repeat(rows, 1), "attention_mask": mask}
    ids = torch.zeros(rows, width, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t), torch.autocast("cpu", torch.bfloat16, enabled=half):
        model.get_decoder()(input_ids=ids, use_cache=False, **given)
    return sum(size for size, _ in kept.values())


def test_what_is_counted_as_a_llama_is_said_to_be():
    """InternLM2's code is not in transformers; GPT-2 is there, and its layers keep other things than a Llama's."""
    assert not shape_of({**SMALL, "model_type": "llama"}).note
    assert "does not know internlm2" in shape_of(CONFIGS["internlm/internlm2-20b"]).note
    assert "keys and values of gpt2" in shape_of({**SMALL, "model_type": "gpt2"}).note


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model_type": "mixtral", "num_local_experts": 8}, "experts"),
        ({"model_type": "t5"}, '"t5" is not a decoder'),
        ({"model_type": "mamba"}, '"mamba" is not a decoder'),
        ({"model_type": "unheard-of", "hidden_size": 8}, "lacks vocab_size"),
    ],
)
def test_what_cannot_be_counted_is_refused(fields, says):
    with pytest.raises(ModelError, match=says):
        shape_of(fields)
