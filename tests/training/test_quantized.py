"""QLoRA on a processor: frozen weights in 4 or 8 bits, adapters trained through them."""

import pytest
import torch

from scdpo.training.collator import Item, collate_pairs
from scdpo.training.log_probs import token_log_probs
from scdpo.training.model_files import save_model
from scdpo.training.reference import reference_log_probs
from scdpo.training.scratch import make_model
from scdpo.training.settings import LoraSettings, PreferenceSettings
from scdpo.training.train import load_trainable, rows_of, train_preference
from tests.training.conftest import SIZES, job_of, weights

pytest.importorskip("bitsandbytes", reason="QLoRA needs bitsandbytes (make test installs it)")


@pytest.fixture(params=["nf4", "int8"])
def settings(request):
    lora = LoraSettings(rank=4, alpha=8, quantize=request.param)
    return PreferenceSettings(beta=0.5, lr=2e-2, epochs=2, batch=8, threads=1, lora=lora)


@pytest.fixture
def base(tmp_path, story_tokenizer):
    """A model as wide as bitsandbytes' blocks, 64."""
    sizes = SIZES.model_copy(update={"width": 64, "feed_forward": 128})
    save_model(make_model(sizes, story_tokenizer, seed=1), story_tokenizer, tmp_path / "base", "card\n")
    return tmp_path / "base"


def test_the_policy_starts_at_the_reference(settings, base, trees, story_codec, tmp_path):
    """The first loss is log 2, so reference and policy are computed alike; whole trees are taken; the margin grows."""
    job = job_of(tmp_path, story_codec, settings, start=base)
    facts = train_preference(job, trees)
    assert facts["layout"] == "tree"
    assert facts["first_loss"] == pytest.approx(0.693147, abs=1e-4)
    assert facts["last_loss"] < 0.3
    (cached,) = (tmp_path / "cache").iterdir()
    assert cached.name.endswith(f"-{settings.lora.quantize}.jsonl")
    before, after = weights(base), weights(job.folder)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_gradients_come_through_quantized_layers(settings, base, trees, story_codec, tmp_path):
    """After the reference was computed too: each adapter of each layer is trained."""
    rows, _ = rows_of(trees, story_codec, 256)
    model = load_trainable(job_of(tmp_path, story_codec, settings, start=base))
    reference_log_probs(model, rows[:3], 4096)
    model.train()
    token_log_probs(model, collate_pairs([Item(row) for row in rows[:3]])).sum().backward()
    ups = {name: parameter.grad for name, parameter in model.named_parameters() if "lora_B" in name}
    assert len(ups) == 7 * SIZES.layers
    assert all(gradient.abs().sum() > 0 for gradient in ups.values())
