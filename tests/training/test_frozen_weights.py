"""Frozen weights beside adapters, held in bfloat16: the very numbers of weights that autocast rounds for each product."""

import pytest
import torch

from scdpo.solutions.rendering import render
from scdpo.training import placement
from scdpo.training.adapters import add_adapters, round_frozen
from scdpo.training.collator import Item, collate_pairs
from scdpo.training.log_probs import token_log_probs
from scdpo.training.objectives import PreferenceObjective
from scdpo.training.placement import place_model, precision_context
from scdpo.training.settings import LoraSettings, OptimizerSettings, PreferenceSettings
from scdpo.training.train import load_trainable, train_preference, train_sft
from tests.training.conftest import job_of, same, weights
from tests.training.families import tiny_model
from tests.training.test_layouts import END, PROMPT, TREE

LORA = LoraSettings(rank=4, alpha=8)
HALF = {"precision": "bfloat16", "threads": 1, "lora": LORA}
CASES = [("llama", LORA), ("llama, tied", LORA), ("qwen2", LORA), ("llama", LoraSettings(rank=4, targets=("lm_head",)))]


def adapted(family: str, lora: LoraSettings = LORA):
    """A tiny model with adapters that say something."""
    model = add_adapters(tiny_model(family), lora, "", seed=1)
    torch.manual_seed(2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    return model


def rounded_names(model) -> set[str]:
    rounded = (name for name, weight in model.named_parameters() if weight.dtype == torch.bfloat16)
    return {name.removeprefix("base_model.model.") for name in rounded}


@pytest.mark.parametrize("chunk", [1024, 3])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(("family", "lora"), CASES)
def test_losses_and_gradients_are_equal_to_the_bit(family, lora, checkpointing, chunk):
    """All logits at once and in chunks that are computed again; biases (Qwen 2), tied and untied output layers."""
    row = render(TREE, PROMPT, END)
    batch = collate_pairs([Item(row, tuple((-30.0, -31.0) for _ in row.pairs))])
    found = []
    for is_rounded in (False, True):
        model = adapted(family, lora)
        if checkpointing:
            getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
        if is_rounded:
            round_frozen(model)
        model.train()
        with precision_context("bfloat16", "cpu"):
            losses, _ = PreferenceObjective(0.1).losses(token_log_probs(model, batch, chunk), batch)
        losses.sum().backward()
        found.append((losses.detach(), {name: w.grad for name, w in model.named_parameters() if w.requires_grad}))
    (losses, gradients), (same_losses, same_gradients) = found
    assert torch.equal(losses, same_losses)
    assert gradients.keys() == same_gradients.keys() and all("lora_" in name for name in gradients)
    assert all(gradient.abs().sum() > 0 for gradient in gradients.values())
    assert all(torch.equal(gradients[name], same_gradients[name]) for name in gradients)


@pytest.mark.parametrize(("family", "is_tied"), [("llama", False), ("llama, tied", True), ("qwen2", False)])
def test_only_what_is_multiplied_is_rounded(family, is_tied):
    """Every linear layer's weight and bias, to its nearest bfloat16 value; embeddings, norms and adapters are as they were."""
    before = {name: weight.detach().clone() for name, weight in adapted(family).named_parameters()}
    model = adapted(family)
    place_model(model, "bfloat16")
    products = {f"model.layers.{layer}.{name}" for layer in range(2) for name in (
        *(f"self_attn.{side}_proj.base_layer.weight" for side in "qkvo"),
        *(f"self_attn.{side}_proj.base_layer.bias" for side in "qkv" if family == "qwen2"),
        *(f"mlp.{part}_proj.base_layer.weight" for part in ("gate", "up", "down")),
    )}  # fmt: skip
    assert rounded_names(model) == products | (set() if is_tied else {"lm_head.weight"})
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name].to(weight.dtype))


def test_an_output_layer_with_adapters_is_kept():
    """PEFT saves it with them, and what is saved is merged into full weights."""
    model = adapted("llama", LoraSettings(rank=4, targets=("lm_head", "q_proj")))
    place_model(model, "bfloat16")
    names = rounded_names(model)
    assert "model.layers.0.self_attn.q_proj.base_layer.weight" in names and not any("lm_head" in name for name in names)


def test_nothing_else_is_rounded():
    """Neither in float32, nor in full training, nor beside quantized weights."""
    quantized = adapted("llama")
    quantized.base_model.model.is_quantized = True
    whole = tiny_model("llama")
    whole.lm_head.weight.requires_grad_(False)
    for model, precision in ((adapted("llama"), "float32"), (whole, "bfloat16"), (quantized, "bfloat16")):
        place_model(model, precision)
        assert all(weight.dtype == torch.float32 for weight in model.parameters())


def test_the_adapters_of_a_training_are_the_same(base, trees, story_codec, tmp_path, monkeypatch):
    """A preference training, and one that was stopped and goes on, against those whose weights stay in float32: what is saved,
    and the reference log-probs, to the bit."""
    settings = PreferenceSettings(beta=0.5, lr=2e-2, epochs=2, batch=8, checkpoint_every=2, **HALF)
    seen = set()

    class Stop(Exception):
        pass

    def train(name: str, report=lambda *told: None):
        job = job_of(tmp_path, story_codec, settings, name, base, cache=tmp_path / f"{name}.cache", report=report)
        train_preference(job, trees)
        (file,) = job.cache.iterdir()
        return file.read_text(), weights(job.folder)

    def stop_at_three(done, total, *said):
        if done == 3:
            raise Stop

    def look(model):
        round_frozen(model)
        seen.update(rounded_names(model))

    monkeypatch.setattr(placement, "round_frozen", lambda model: None)
    expected = train("float32")
    monkeypatch.setattr(placement, "round_frozen", look)
    found = train("rounded")
    assert any("q_proj" in name for name in seen)
    with pytest.raises(Stop):
        train("torn", stop_at_three)
    for references, merged in (found, train("torn")):
        assert references == expected[0]
        assert merged.keys() == expected[1].keys()
        assert same(merged, expected[1])


def test_what_adapters_are_merged_into_is_the_full_model(base, trees, story_codec, tmp_path):
    """The SFT model after a training in bfloat16: the weights without adapters are those on disk, to the bit, and no merged
    weight is a bfloat16 number throughout."""
    solutions = [(tree.question, tree.trunk) for tree in trees]
    settings = OptimizerSettings(lr=1e-2, epochs=1, batch=8, **HALF)
    job = job_of(tmp_path, story_codec, settings, start=base)
    model = load_trainable(job)
    train_sft(job, model, solutions)
    assert rounded_names(model)
    before, after = weights(base), weights(job.folder)
    for name, weight in after.items():
        assert torch.equal(weight, before[name]) is ("_proj" not in name)
        assert not torch.equal(weight, weight.bfloat16().float()) or "norm" in name
