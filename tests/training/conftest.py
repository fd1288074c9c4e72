"""A small model, trees over stories, and where a training goes."""

import pytest
import torch

from scdpo.solutions.solution import Solution
from scdpo.solutions.tree import Branch, SolutionTree
from scdpo.training.job import TrainingJob
from scdpo.training.model_files import load_model, save_model
from scdpo.training.scratch import make_model
from scdpo.training.settings import ModelSettings
from tests.conftest import CORRECT, WRONG

SIZES = ModelSettings(width=32, layers=2, heads=4, feed_forward=48, init_std=0.2, context=256)


@pytest.fixture
def trees(story_problems, story_codec):
    """Twenty trees of one to three pairs over stories."""
    found = []
    for number in range(20):
        problem, other = story_problems[number], story_problems[number + 30]
        trunk = Solution(story_codec.read(problem.solution), CORRECT)
        steps = story_codec.read(other.solution)
        branches = [Branch(fork, steps[fork:], WRONG) for fork in range(1 + number % 3)]
        found.append(SolutionTree(problem.id, problem.question, trunk, tuple(branches)))
    return found


@pytest.fixture
def base(tmp_path, story_tokenizer):
    """A saved model to start from."""
    save_model(make_model(SIZES, story_tokenizer, seed=1), story_tokenizer, tmp_path / "base", "card\n")
    return tmp_path / "base"


def job_of(folder, codec, settings, name="m", start=None, context=256, **more) -> TrainingJob:
    """A training into a folder, with its cache of reference log-probs there."""
    more = {"cache": folder / "cache", "facts": {"fact": 1}} | more
    return TrainingJob(name, settings, codec, context, folder / name, folder / f"{name}.jsonl", 7, start, **more)


def weights(folder) -> dict:
    return load_model(folder).state_dict()


def same(first: dict, second: dict, tolerance: float = 0.0) -> bool:
    return all(torch.allclose(first[name], second[name], rtol=0, atol=tolerance) for name in first)
