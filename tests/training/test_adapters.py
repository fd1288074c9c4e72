"""LoRA: fresh adapters change nothing, training moves only them, they are saved, loaded, merged and resumed."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from peft import PeftModel

from scdpo.cli.main import main
from scdpo.errors import ModelError
from scdpo.training.adapters import add_adapters, is_adapter
from scdpo.training.collator import Item, collate_pairs
from scdpo.training.log_probs import is_plain, token_log_probs
from scdpo.training.model_files import load_model, save_model
from scdpo.training.reference import reference_log_probs
from scdpo.training.settings import LoraSettings, PreferenceSettings
from scdpo.training.train import rows_of, train_preference
from tests.training.conftest import job_of, same, weights

LORA = PreferenceSettings(beta=0.5, lr=2e-2, epochs=4, batch=8, threads=1, lora=LoraSettings(rank=4, alpha=8))


def test_the_reference_is_the_adapter_switched_off(base, trees, story_codec):
    """One model in memory: with adapters that say something, the reference log-probs are still the base model's."""
    rows, _ = rows_of(trees, story_codec, 256)
    plain = load_model(base)
    expected = reference_log_probs(plain, rows, 4096)
    adapted = add_adapters(plain, LORA.lora, base, seed=1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.add_(0.5)
    assert reference_log_probs(adapted, rows, 4096) == expected


def test_adapters_are_trained_saved_loaded_and_merged(base, trees, story_codec, tmp_path):
    job = job_of(tmp_path, story_codec, LORA, start=base)
    facts = train_preference(job, trees)
    first = json.loads(job.log.read_text().splitlines()[0])
    assert first["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert facts["last_loss"] < 0.5
    assert is_adapter(job.folder)
    assert not (job.folder / "model.safetensors").exists()
    config = json.loads((job.folder / "adapter_config.json").read_text())
    assert (config["r"], config["base_model_name_or_path"]) == (4, str(base))
    merged, before = weights(job.folder), weights(base)
    changed = {name for name in before if not torch.equal(before[name], merged[name])}
    assert changed
    assert all("_proj" in name for name in changed)


def test_an_interrupted_lora_training_ends_in_the_same_weights(base, trees, story_codec, tmp_path):
    settings = LORA.model_copy(update={"checkpoint_every": 3, "lora": LoraSettings(rank=4, dropout=0.1)})

    class Stop(Exception):
        pass

    def stop_at_eight(done, total, *said):
        if done == 8:
            raise Stop

    whole, torn = (job_of(tmp_path, story_codec, settings, name, start=base) for name in ("whole", "torn"))
    train_preference(whole, trees)
    with pytest.raises(Stop):
        train_preference(replace(torn, report=stop_at_eight), trees)
    train_preference(torn, trees)
    assert same(weights(whole.folder), weights(torn.folder))


def test_targets_that_the_model_lacks(base):
    with pytest.raises(ModelError, match=r"set lora\.targets"):
        add_adapters(load_model(base), LoraSettings(rank=4, targets=("w_pack",)), base, seed=1)


def test_a_base_that_was_moved_is_found_beside(base, trees, story_codec, tmp_path):
    """Also where another model lies by now where the base was."""
    job = job_of(tmp_path, story_codec, LORA.model_copy(update={"epochs": 0.1}), start=base)
    train_preference(job, trees)
    (tmp_path / "moved").mkdir()
    for folder in (base, job.folder):
        folder.rename(tmp_path / "moved" / folder.name)
    moved = weights(tmp_path / "moved" / "m")
    other = load_model(tmp_path / "moved" / "base")
    with torch.no_grad():
        other.lm_head.weight.zero_()
    save_model(other, story_codec.tokenizer, base, "another\n")
    assert same(weights(tmp_path / "moved" / "m"), moved)
    shutil.rmtree(base)
    (tmp_path / "moved" / "base").rename(tmp_path / "gone")
    with pytest.raises(ModelError, match="give it with --base"):
        load_model(tmp_path / "moved" / "m")


def test_merge_command(base, trees, story_codec, tmp_path, capsys):
    """The merged model is a plain one, gives what base and adapters give, and wrong folders are named."""
    job = job_of(tmp_path, story_codec, LORA, start=base)
    train_preference(job, trees)
    out = tmp_path / "merged"
    assert main(["merge", str(job.folder), "--out", str(out)]) == 0
    assert (out / "model.safetensors").exists()
    assert not is_adapter(out)
    rows, _ = rows_of(trees, story_codec, 256)
    adapted = PeftModel.from_pretrained(load_model(base), str(job.folder)).eval()
    batch = collate_pairs([Item(row) for row in rows[:5]])
    with torch.no_grad():
        expected, found = (token_log_probs(model, batch) for model in (adapted, load_model(out).eval()))
    assert torch.allclose(found, expected, atol=1e-4)
    for words, cure in (
        ([str(base), "--out", str(tmp_path / "x")], "holds no adapters"),
        ([str(job.folder), "--out", str(out)], "there already"),
        ([str(job.folder), "--out", str(tmp_path / "x"), "--base", str(tmp_path / "nowhere")], "no model folder"),
    ):
        assert main(["merge", *words]) == 2
        assert cure in capsys.readouterr().err


def test_adapters_on_the_output_layer_count(base, trees, story_codec):
    """An output layer with adapters is asked as a whole, not only for its own weights."""
    rows, _ = rows_of(trees, story_codec, 256)
    model = add_adapters(load_model(base), LoraSettings(rank=4, targets=("lm_head",)), base, seed=1)
    layer = model.get_output_embeddings()
    assert not is_plain(layer)
    batch = collate_pairs([Item(row) for row in rows[:3]])
    before = token_log_probs(model, batch)
    before.sum().backward()
    up = next(parameter for name, parameter in model.named_parameters() if "lora_B" in name)
    assert up.grad.abs().sum() > 0
    with torch.no_grad():
        up.normal_()
        assert (token_log_probs(model, batch) - before).abs().max() > 0.01
        assert torch.allclose(token_log_probs(model, batch), token_log_probs(model, batch, chunk=5), atol=1e-5)
