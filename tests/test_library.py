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


@pytest.mark.parametrize(("page", "least"), [("library.md", 3), ("grading.md", 1)])
def test_the_docs_examples_run(page, least, tmp_path, monkeypatch):
    """The Python blocks of a page, one after the other."""
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parent.parent / "docs" / page
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= least
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
