"""Our loss and TRL's DPOTrainer give the same number on the same pairs (TRL is a test dependency)."""

import pytest
import torch

from scdpo.solutions.rendering import render
from scdpo.solutions.solution import Solution
from scdpo.solutions.tree import Branch, SolutionTree
from scdpo.training.collator import Item, collate_pairs
from scdpo.training.log_probs import token_log_probs
from scdpo.training.objectives import PreferenceObjective
from scdpo.training.reference import reference_log_probs
from scdpo.training.scratch import make_model
from scdpo.training.settings import LossSettings, ModelSettings
from tests.conftest import CORRECT, WRONG

BETA = 0.3


def story_trees(problems, codec, forks: dict[int, tuple[int, ...]]) -> list[tuple[str, SolutionTree]]:
    """(question, tree): the worked solution as trunk, each branch the end of another problem's solution."""
    trees = []
    for number, places in forks.items():
        problem, other = problems[number], problems[number + 1]
        trunk = Solution(codec.read(problem.solution), CORRECT)
        branches = tuple(Branch(fork, codec.read(other.solution)[fork:], WRONG) for fork in places)
        trees.append((problem.question, SolutionTree(problem.id, problem.question, trunk, branches)))
    return trees


def pair_texts(tree: SolutionTree) -> list[tuple[str, str, str]]:
    """(kept, chosen, rejected) of each pair."""
    kept = ["".join(step.text for step in tree.kept(branch)) for branch in tree.branches]
    return [(text, tree.trunk.text[len(text) :], branch.text) for text, branch in zip(kept, tree.branches, strict=True)]


NAIVE = {0: (0,), 2: (0,), 4: (0,)}
FORKED = {0: (1, 2), 2: (1,), 4: (2,)}


@pytest.mark.parametrize(
    ("forks", "theirs", "ours"),
    [
        pytest.param(NAIVE, {}, {}, id="naive"),
        pytest.param(FORKED, {}, {}, id="kept steps in TRL's prompt"),
        pytest.param(FORKED, {"loss_type": ["hinge"]}, {"kind": "hinge"}, id="hinge"),
        pytest.param(FORKED, {"loss_type": ["ipo"]}, {"kind": "ipo", "length_normalised": True}, id="ipo"),
        pytest.param(FORKED, {"loss_type": ["sigmoid_norm"]}, {"length_normalised": True}, id="length-normalised"),
    ],
)
def test_equal_to_trl(forks, theirs, ours, story_problems, story_codec, tmp_path):
    """The loss and its gradient."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    settings = ModelSettings(width=32, layers=2, heads=4, feed_forward=48, init_std=0.2, context=256)
    tokenizer = story_codec.tokenizer
    reference = make_model(settings, tokenizer, seed=1).eval()
    policy = make_model(settings, tokenizer, seed=2).eval()
    trees = story_trees(story_problems, story_codec, forks)
    rows = [
        {"prompt": f"{question}\n{kept}", "chosen": chosen, "rejected": rejected}
        for question, tree in trees
        for kept, chosen, rejected in pair_texts(tree)
    ]
    config = DPOConfig(
        output_dir=str(tmp_path),
        beta=BETA,
        max_length=None,
        per_device_train_batch_size=len(rows),
        report_to=[],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        **theirs,
    )
    trainer = DPOTrainer(
        model=policy,
        ref_model=reference,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.model.eval()
    batch = next(iter(trainer.get_train_dataloader()))
    their_loss = trainer.compute_loss(trainer.model, batch)
    their_gradient = gradient(their_loss, policy)

    rendered = [render(tree, story_codec.prompt(question), story_codec.end_id) for question, tree in trees]
    values = reference_log_probs(reference, rendered, token_budget=512)
    batch_of_ours = collate_pairs([Item(row, value) for row, value in zip(rendered, values, strict=True)])
    objective = PreferenceObjective(BETA, LossSettings(**ours))
    our_loss = objective.losses(token_log_probs(policy, batch_of_ours), batch_of_ours)[0].mean()

    counted = sum(len(pair.chosen) + len(pair.rejected) for row in rendered for pair in row.pairs)
    assert batch["completion_mask"].sum().item() == counted, "TRL counts the same tokens"
    # Both are float32 sums of up to 400 nats; one token more or less would change the loss a thousand times as much.
    assert our_loss.item() == pytest.approx(their_loss.item(), rel=1e-4)
    assert (gradient(our_loss, policy) - their_gradient).norm() <= 1e-4 * their_gradient.norm()
    assert their_gradient.norm() > 0
    assert abs(our_loss.item() - 0.693147) > 1e-3, "the models differ, so the loss says something"


def gradient(loss: torch.Tensor, model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))])
