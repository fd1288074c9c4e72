"""Trainings: equal updates for any split, exact resume, saved whole, reference log-probs once."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from transformers import TrainingArguments
from transformers.models.llama.modeling_llama import LlamaMLP

from scdpo.errors import ModelError
from scdpo.precision import Choice
from scdpo.solutions.rendering import render
from scdpo.solutions.solution import Solution
from scdpo.training.collator import Item
from scdpo.training.log_probs import CHUNK
from scdpo.training.model_files import check_model, fingerprint, load_model, load_tokenizer
from scdpo.training.objectives import PreferenceObjective
from scdpo.training.plan import fill, plan_steps, split
from scdpo.training.reference import cached_reference, compute, reference_log_probs
from scdpo.training.scratch import make_model
from scdpo.training.settings import LoraSettings, OptimizerSettings, PreferenceSettings
from scdpo.training.trackers import prepare_trackers
from scdpo.training.train import last_whole_checkpoint, rows_of, train_preference, train_sft
from scdpo.training.trainer import TreeTrainer
from tests.conftest import CORRECT, make_tree
from tests.training.conftest import SIZES, job_of, same, weights

SFT = OptimizerSettings(lr=1e-2, epochs=1, batch=8, threads=1)


@pytest.mark.parametrize("budget", [1, 300, 10**6])
def test_any_micro_batch_split_gives_the_same_update(budget, base, trees, story_codec, tmp_path):
    """One step over all trees, as one micro-batch and in parts: the parts' gradients add up to the whole's (to rounding).

    With plain SGD, because Adam's first step makes as much of a gradient of 1e-9 as of one of 1.
    """
    rows, _ = rows_of(trees, story_codec, 256)
    reference = reference_log_probs(load_model(base), rows, 10**5)
    items = [Item(row, values) for row, values in zip(rows, reference, strict=True)]
    updates = []
    for tokens in (10**5, budget):
        model = load_model(base)
        steps = plan_steps(items, batch=64, epochs=1, token_budget=tokens, seed=1)
        assert len(steps) == 1
        arguments = TrainingArguments(
            str(tmp_path), max_steps=1, max_grad_norm=0, use_cpu=True, report_to=[], save_strategy="no"
        )
        arguments = arguments.set_lr_scheduler("constant")
        sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        TreeTrainer(model, steps, PreferenceObjective(0.5), arguments, optimizer=sgd).train()
        updates.append(model.state_dict())
    assert same(*updates, tolerance=1e-5)
    assert not same(weights(base), updates[0], tolerance=1e-3)


def test_training_raises_the_margin(base, trees, story_codec, tmp_path):
    """After DPO on a few trees the chosen ends are likelier against the rejected ones than before; naive and
    step-controlled figures are logged apart."""
    settings = PreferenceSettings(beta=0.5, lr=2e-3, epochs=4, batch=8, threads=1)
    job = job_of(tmp_path, story_codec, settings, start=base)
    facts = train_preference(job, trees)
    assert facts["pairs"] == sum(len(tree.branches) for tree in trees)
    *log, last = [json.loads(line) for line in job.log.read_text().splitlines()]
    assert last == facts
    assert log[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert facts["last_loss"] < 0.5
    assert log[-1]["rewards/margin"] > 0.5
    assert {"naive/rewards/margin", "step-controlled/rewards/margin", "log_probs/chosen"} <= set(log[-1])


def test_an_interrupted_training_ends_in_the_same_weights(story_problems, story_codec, story_tokenizer, tmp_path):
    """Stopped in the middle and run again, a training continues from its checkpoint and ends in the same weights."""
    solutions = [(p.question, Solution(story_codec.read(p.solution), CORRECT)) for p in story_problems[:64]]
    for optimizer in ("muon", "adamw"):
        settings = SFT.model_copy(update={"epochs": 2.0, "checkpoint_every": 5, "optimizer": optimizer})
        whole, torn = (job_of(tmp_path, story_codec, settings, f"{name}-{optimizer}") for name in ("whole", "torn"))
        train_sft(whole, make_model(SIZES, story_tokenizer, 1), solutions)

        class Stop(Exception):
            pass

        def stop_at_eight(done, total, *said, stop=Stop):
            if done == 8:
                raise stop

        with pytest.raises(Stop):
            train_sft(replace(torn, report=stop_at_eight), make_model(SIZES, story_tokenizer, 1), solutions)
        assert not torn.folder.exists()
        seen = []
        again = make_model(SIZES, story_tokenizer, 99)
        train_sft(replace(torn, report=lambda done, *told, seen=seen: seen.append(done)), again, solutions)
        assert seen[0] == 6, "it went on after the checkpoint"
        assert same(weights(whole.folder), weights(torn.folder)), optimizer
        assert whole.log.read_text().count("\n") == torn.log.read_text().count("\n")


def test_saved_in_the_librarys_layout(base, story_problems, story_codec, tmp_path):
    solutions = [(p.question, Solution(story_codec.read(p.solution), CORRECT)) for p in story_problems[:16]]
    job = job_of(tmp_path, story_codec, SFT)
    train_sft(job, load_model(base), solutions)
    names = {file.name for file in job.folder.iterdir()}
    assert {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "README.md"} <= names
    assert "fact: 1" in (job.folder / "README.md").read_text()
    assert load_tokenizer(job.folder)("Ada has 3 ")["input_ids"] == story_codec.tokenizer("Ada has 3 ")["input_ids"]
    assert load_model(job.folder).generation_config.eos_token_id == story_codec.end_id
    assert fingerprint(job.folder) != fingerprint(base)


def test_trees_too_long_are_dropped_and_counted(base, trees, story_codec, tmp_path):
    longest = max(render(tree, story_codec.prompt(tree.question), 2).longest for tree in trees)
    settings = PreferenceSettings(lr=1e-3, epochs=1, threads=1)
    facts = train_preference(job_of(tmp_path, story_codec, settings, start=base, context=longest - 1), trees)
    assert set(facts["dropped"]) <= {"branch too long", "trunk too long"}
    assert sum(facts["dropped"].values()) >= 1
    assert facts["trees"] + sum(facts["dropped"].values()) == len(trees)


def test_nothing_to_train_on_and_no_finite_loss(base, trees, story_codec, tmp_path):
    settings = PreferenceSettings(lr=1e-3, epochs=1, threads=1)
    with pytest.raises(ModelError, match="nothing to train on"):
        train_preference(job_of(tmp_path, story_codec, settings, start=base), [])
    broken = load_model(base)
    with torch.no_grad():
        broken.lm_head.weight[5] = float("nan")
    solutions = [(tree.question, tree.trunk) for tree in trees]
    with pytest.raises(ModelError, match=r"the loss is nan at step 1 \(tree .*\); lower the learning rate"):
        train_sft(job_of(tmp_path, story_codec, SFT), broken, solutions)


def test_an_infinite_loss_names_its_tree(base, trees, story_codec, tmp_path):
    """One pair's reference log-prob is beyond numbers: the training stops, and says whose."""
    rows, _ = rows_of(trees, story_codec, 256)
    model = load_model(base)
    values = reference_log_probs(model, rows, 10**5)
    items = [Item(row, value) for row, value in zip(rows, values, strict=True)]
    items[7] = Item(rows[7], ((float("inf"), 0.0), *items[7].reference[1:]))
    steps = plan_steps(items, batch=64, epochs=1, token_budget=500, seed=1)
    arguments = TrainingArguments(str(tmp_path), max_steps=1, use_cpu=True, report_to=[], save_strategy="no")
    with pytest.raises(ModelError, match=rf"the loss is inf at step 1 \(tree {rows[7].name}\)"):
        TreeTrainer(model, steps, PreferenceObjective(0.5), arguments).train()


def test_reference_log_probs_are_computed_once(base, trees, story_codec, tmp_path):
    """A second time the model is not asked; another model or other rows are computed anew."""
    rows = [render(tree, story_codec.prompt(tree.question), story_codec.end_id) for tree in trees]
    model = load_model(base)
    cache = tmp_path / "reference"
    ask = lambda rows: compute(model, rows, 500, "tree", CHUNK)  # noqa: E731
    first = cached_reference(cache / "model-a.jsonl", rows, ask)
    assert cached_reference(cache / "model-a.jsonl", rows, None) == first
    cached_reference(cache / "model-b.jsonl", rows, ask)
    assert cached_reference(cache / "model-a.jsonl", rows[1:], None) == first[1:]
    assert cached_reference(None, rows, ask) == first
    assert sorted(file.name for file in cache.iterdir()) == ["model-a.jsonl", "model-b.jsonl"]
    lines = (cache / "model-a.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == sum(len(row.pairs) for row in rows)
    (cache / "model-a.jsonl").write_text("".join(lines)[:-9])
    again = cached_reference(cache / "model-a.jsonl", rows, ask)
    for one, other in zip(again, first, strict=True):
        assert torch.tensor(one).allclose(torch.tensor(other), atol=1e-4)
    moved = replace(rows[0], ids=(*rows[0].ids[:-2], 5, rows[0].ids[-1]))
    assert cached_reference(cache / "model-a.jsonl", [moved], ask)[0][0] != first[0][0]
    assert [len(values) for values in first] == [len(row.pairs) for row in rows]
    budgets = [reference_log_probs(load_model(base), rows, budget) for budget in (1, 10**6)]
    for one, other in zip(*budgets, strict=True):
        assert torch.tensor(one).allclose(torch.tensor(other), atol=1e-4)


def test_the_plan_holds_every_pair_once_an_epoch():
    items = [Item(render(make_tree([[11], [12]], [(0, [[13]])] * (1 + n % 4), str(n)), (1, 3), 2)) for n in range(50)]
    steps = plan_steps(items, batch=8, epochs=2, token_budget=40, seed=1)
    names = [item.row.name for step in steps for part in step for item in part]
    assert sorted(names) == sorted([item.row.name for item in items] * 2)
    assert all(sum(len(item.row.pairs) for part in step for item in part) <= 8 for step in steps)
    assert plan_steps(items, 8, 2, 40, seed=1) == steps
    assert plan_steps(items, 8, 2, 40, seed=2) != steps
    assert len(plan_steps(items, 8, 0.5, 40, seed=1)) < len(steps) / 2


def test_steps_of_similar_length_hold_every_pair_once_an_epoch():
    """Grouped, a pass holds the same pairs in as many steps and in little more than the tokens that are real."""
    lengths = [1 + 7 * n % 60 for n in range(400)]
    items = [Item(render(make_tree([[11] * length], [(0, [[13]])], str(n)), (1,), 2)) for n, length in enumerate(lengths)]
    plain, grouped = (plan_steps(items, 8, 2, 10**6, seed=1, group_by_length=each) for each in (False, True))
    names = [sorted(item.row.name for step in steps for part in step for item in part) for steps in (plain, grouped)]
    assert names[0] == names[1] and len(plain) == len(grouped)
    assert all(sum(len(item.row.pairs) for part in step for item in part) <= 8 for step in grouped)
    padded = [sum(8 * max(len(item.row) for item in part) for step in steps for part in step) for steps in (plain, grouped)]
    assert padded[1] < 1.1 * 2 * sum(len(item.row) for item in items) < padded[0]
    first = [len(part[0].row) for step in grouped[:20] for part in step]
    assert first != sorted(first) and first != sorted(first, reverse=True), "short and long steps take turns"


def test_micro_batches_stay_within_their_tokens():
    items = [Item(render(make_tree([[11] * (1 + n % 9)], []), (1,), 2)) for n in range(40)]
    parts = split(items, 30)
    assert all(len(part) * max(len(item.row) for item in part) <= 30 for part in parts)
    assert sum(len(part) for part in parts) == 40
    assert [len(step) for step in fill(items, 16)] == [16, 16, 8]


@pytest.mark.parametrize("path", ["./nowhere", "/nowhere/at/all", "no/where/here"])
def test_a_missing_model_folder(path):
    with pytest.raises(ModelError, match="no model folder"):
        load_model(path)


def test_an_unreadable_model_folder(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot load"):
        load_model(tmp_path)


def test_the_same_seed_gives_the_same_model(story_tokenizer):
    first, second, other = (make_model(SIZES, story_tokenizer, seed).state_dict() for seed in (1, 1, 2))
    assert same(first, second)
    assert not same(first, other)


def test_torn_checkpoints_are_passed_over(tmp_path):
    """What a kill left half-written is removed, and the one before it serves."""
    for step in (5, 10, 15, 20):
        (tmp_path / f"checkpoint-{step}").mkdir()
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text("{}")
    (tmp_path / "checkpoint-15" / "trainer_state.json").write_text('{"step":')
    assert last_whole_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-5"]
    assert last_whole_checkpoint(tmp_path / "none") is None


def test_a_model_is_looked_at_before_a_run(base, tmp_path):
    """Config, tokenizer and the weights' head: a torn file is named before anything is written."""
    check_model(base)
    torn = shutil.copytree(base, tmp_path / "torn")
    weights = torn / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"cannot read .*model\.safetensors"):
        check_model(torn)


def test_figures_go_to_tensorboard(base, trees, story_codec, tmp_path):
    """By the library's own callback, into the run; both kinds of pairs apart."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = PreferenceSettings(lr=1e-3, epochs=1, batch=8, threads=1, report_to=("tensorboard",))
    job = job_of(tmp_path, story_codec, settings, start=base)
    train_preference(job, trees)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "m")).Reload()
    logged = [json.loads(line) for line in job.log.read_text().splitlines()][:-1]
    for figure in ("naive/rewards/margin", "step-controlled/rewards/margin", "log_probs/chosen"):
        written = [event.value for event in events.Scalars(f"train/{figure}")]
        assert written == pytest.approx([entry[figure] for entry in logged if figure in entry], rel=1e-5)


def test_a_tracker_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="install it with pip install trackio"):
        prepare_trackers(("trackio",), tmp_path / "m.jsonl")


def test_bfloat16(base, trees, story_codec, tmp_path, monkeypatch):
    """Trains as float32 does but for rounding, has reference log-probs of its own, and is what "auto" takes of the two."""
    settings = PreferenceSettings(beta=0.5, lr=2e-3, epochs=4, batch=8, threads=1)
    lasts = {}
    for precision in ("float32", "bfloat16"):
        chosen = settings.model_copy(update={"precision": precision})
        job = job_of(tmp_path, story_codec, chosen, precision, start=base)
        facts = train_preference(job, trees)
        assert facts["first_loss"] == pytest.approx(0.6931, abs=0.02)
        lasts[precision] = facts["last_loss"]
    assert lasts["bfloat16"] == pytest.approx(lasts["float32"], abs=0.1)
    assert lasts["bfloat16"] != lasts["float32"]
    assert len(list((tmp_path / "cache").iterdir())) == 2
    monkeypatch.setattr("scdpo.precision.choose", lambda device: Choice("bfloat16", "it has it"))
    chosen = settings.model_copy(update={"precision": "auto"})
    facts = train_preference(job_of(tmp_path, story_codec, chosen, "auto", start=base), trees)
    assert facts["last_loss"] == lasts["bfloat16"]


@pytest.mark.parametrize("rank", [0, 4])
def test_activation_checkpointing_changes_nothing(rank, base, trees, story_codec, tmp_path, monkeypatch):
    settings = PreferenceSettings(beta=0.5, lr=2e-3, epochs=1, batch=8, threads=1, lora=LoraSettings(rank=rank))
    """But that layers are computed again."""
    passes = {False: 0, True: 0}
    forward = LlamaMLP.forward

    def counted(self, states):
        passes[checkpointing] += self.training
        return forward(self, states)

    monkeypatch.setattr(LlamaMLP, "forward", counted)
    for checkpointing in (False, True):
        chosen = settings.model_copy(update={"activation_checkpointing": checkpointing})
        job = job_of(tmp_path, story_codec, chosen, str(checkpointing), start=base)
        train_preference(job, trees)
    assert passes[True] == 2 * passes[False] > 0
    assert same(weights(tmp_path / "False"), weights(tmp_path / "True"), tolerance=1e-6)
    assert not same(weights(base), weights(tmp_path / "True"), tolerance=1e-4)
