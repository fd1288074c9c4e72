"""The public names, and the example of docs/library.md."""

import re
from pathlib import Path

import pytest

import scdpo


@pytest.mark.parametrize("name", scdpo.__all__)
def test_public_names_exist_and_are_documented(name):
    value = getattr(scdpo, name)
    assert name == "__version__" or value.__doc__


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = scdpo.nothing


def test_the_docs_example_runs(tmp_path, monkeypatch):
    """The Python blocks of docs/library.md, one after the other."""
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parent.parent / "docs" / "library.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= 3
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
