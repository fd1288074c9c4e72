"""Parameters and saved activations, against transformers' own models."""

import pytest

from scdpo.errors import ModelError
from scdpo.planning.memory import layer_activations
from scdpo.planning.shape import shape_of
from scdpo.training.known_configs import CONFIGS

SMALL = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 6, "vocab_size": 101}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("keys", [2, 6])
@pytest.mark.parametrize("kind", ["llama", "mistral", "qwen2", "qwen3"])
def test_parameters_are_those_of_the_model(kind, keys, tied):
    """The count by hand is that of transformers' model, which is made without memory."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(kind, **SMALL, num_key_value_heads=keys, tie_word_embeddings=tied)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert shape_of(config.to_dict()).parameters == sum(p.numel() for p in model.parameters())


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
@pytest.mark.parametrize("keys", [2, 6])
def test_activations_are_what_autograd_saves(half, masked, keys):
    """The bytes of one more layer, counted over the different storages that a forward pass saves."""
    rows, width = 2, 64
    one_more = saved(3, half, masked, keys, rows, width) - saved(2, half, masked, keys, rows, width)
    shape = shape_of({**SMALL, "model_type": "llama", "num_key_value_heads": keys})
    casts = 2 * shape.layer_products / shape.layers if half else 0
    assert one_more == layer_activations(shape, half, masked, width) * rows * width + casts


def saved(layers, half, masked, keys, rows, width):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        **SMALL | {"num_hidden_layers": layers}, num_key_value_heads=keys, tie_word_embeddings=True, attn_implementation="sdpa"
    )
    model = LlamaForCausalLM(config).train()
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


def test_no_decoder_of_this_kind_is_refused():
    with pytest.raises(ModelError, match="experts"):
        shape_of({"model_type": "mixtral", "num_local_experts": 8})
    with pytest.raises(ModelError, match="hidden_size"):
        shape_of({"model_type": "t5"})
