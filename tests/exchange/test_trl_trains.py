"""TRL's DPOTrainer takes the export as it is: it trains on it, and its first loss is ours on the same trees."""

import pytest
import torch

from scdpo.exchange.exporting import write_export
from scdpo.solutions.rendering import render
from scdpo.training.collator import Item, collate_pairs
from scdpo.training.log_probs import token_log_probs
from scdpo.training.objectives import PreferenceObjective
from scdpo.training.reference import reference_log_probs
from scdpo.training.scratch import make_model
from scdpo.training.settings import LossSettings, ModelSettings

BETA = 0.3


@pytest.fixture
def exported(some_trees, tmp_path):
    from datasets import load_dataset

    write_export(tmp_path / "out", "trl", some_trees, "{question}\n", {}, {})
    return load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))


def test_first_loss_and_two_steps(exported, some_trees, story_codec, tmp_path):
    """Every pair counts the same tokens in both; two optimizer steps change the model and lower the loss on its own pairs."""
    from trl import DPOConfig, DPOTrainer

    settings = ModelSettings(width=32, layers=2, heads=4, feed_forward=48, init_std=0.2, context=256)
    tokenizer = story_codec.tokenizer
    reference, policy = (make_model(settings, tokenizer, seed).eval() for seed in (1, 2))
    config = DPOConfig(
        output_dir=str(tmp_path / "trl"),
        beta=BETA,
        max_length=None,
        per_device_train_batch_size=len(exported),
        max_steps=2,
        learning_rate=1e-3,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        disable_tqdm=True,
    )
    trainer = DPOTrainer(model=policy, ref_model=reference, args=config, train_dataset=exported, processing_class=tokenizer)
    batch = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad():
        trainer.model.eval()
        theirs = trainer.compute_loss(trainer.model, batch).item()
    rows = [render(each, story_codec.prompt(each.question), story_codec.end_id) for each in some_trees]
    values = reference_log_probs(reference, rows, token_budget=512)
    ours = collate_pairs([Item(row, value) for row, value in zip(rows, values, strict=True)])
    objective = PreferenceObjective(BETA, LossSettings())
    with torch.no_grad():
        loss = objective.losses(token_log_probs(policy, ours), ours)[0].mean().item()
    counted = sum(len(pair.chosen) + len(pair.rejected) for row in rows for pair in row.pairs)
    assert batch["completion_mask"].sum().item() == counted
    assert loss == pytest.approx(theirs, rel=1e-4)
    before = [part.detach().clone() for part in policy.parameters()]
    assert trainer.train().global_step == 2
    assert any(not torch.equal(old, new) for old, new in zip(before, policy.parameters(), strict=True))
    with torch.no_grad():
        trainer.model.eval()
        assert trainer.compute_loss(trainer.model, batch).item() < theirs
