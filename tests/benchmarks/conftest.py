"""A small model, and stories with their solutions to measure it on."""

import json

import pytest

from scdpo.training.model_files import save_model
from scdpo.training.scratch import make_model
from scdpo.training.settings import ModelSettings
from tests.run.conftest import easy_problems, finished, small_options  # noqa: F401


@pytest.fixture(scope="session")
def story_model(story_tokenizer, tmp_path_factory):
    """An untrained model that knows the stories' words, as a folder."""
    folder = tmp_path_factory.mktemp("model") / "sft"
    settings = ModelSettings(width=32, layers=2, heads=2, feed_forward=64, context=256)
    save_model(make_model(settings, story_tokenizer, 1), story_tokenizer, folder, "untrained")
    return folder


@pytest.fixture(scope="session")
def worked(story_problems, tmp_path_factory):
    """A file of stories with their solutions."""
    file = tmp_path_factory.mktemp("worked") / "stories.jsonl"
    records = ({"question": p.question, "answer": p.answer, "solution": p.solution} for p in story_problems)
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(file)
