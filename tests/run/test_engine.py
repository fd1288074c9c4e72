"""A run's engine: the settings reach it, and what is missing is said with its cure."""

import importlib.util

import pytest
import torch

from scdpo.engines.settings import EngineSettings
from scdpo.errors import ModelError
from scdpo.run.engine import open_engine
from scdpo.training.model_files import save_model
from scdpo.training.scratch import make_model
from scdpo.training.settings import ModelSettings


@pytest.fixture(scope="module")
def folder(story_tokenizer, tmp_path_factory):
    place = tmp_path_factory.mktemp("models") / "sft"
    settings = ModelSettings(width=32, layers=2, heads=2, feed_forward=64, context=128)
    save_model(make_model(settings, story_tokenizer, 1), story_tokenizer, place, "untrained")
    return place


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_the_embedded_engine_has_the_settings(folder, story_codec, precision):
    engine = open_engine(EngineSettings(precision=precision, rows=7), folder, story_codec, 128)
    assert engine.model.dtype == getattr(torch, precision.replace("auto", "float32")), "a plain processor (tests/conftest.py)"
    assert (engine.rows, engine.capacity) == (7, 128)
    marks = engine.state.marks
    assert marks.ends[story_codec.end_id] and all(marks.step_ends[id] for id in story_codec.step_end_ids)


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_vllm_that_is_not_installed(folder, story_codec):
    with pytest.raises(ModelError, match=r'pip install "scdpo\[vllm\]"'):
        open_engine(EngineSettings(kind="vllm"), folder, story_codec, 128)


def test_adapters_are_not_for_vllm(folder, story_codec, tmp_path, monkeypatch):
    (tmp_path / "adapter_config.json").write_text("{}")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ModelError, match=r'holds adapters, which engine\.kind "vllm" does not load'):
        open_engine(EngineSettings(kind="vllm"), tmp_path, story_codec, 128)
