"""The public names, and docs/library.md: its table and its examples."""

import re
from importlib import import_module
from pathlib import Path

import pytest

import scdpo

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", scdpo.__all__)
def test_public_names_exist_and_are_documented(name):
    value = getattr(scdpo, name)
    assert name == "__version__" or value.__doc__


PAGE = (DOCS / "library.md").read_text(encoding="utf-8")
TABLE = [
    (module, name)
    for module, names in re.findall(
        r"^\| `(scdpo\.[\w.]+)` \| (.*?) \|", (DOCS / "library.md").read_text(encoding="utf-8"), re.M
    )
    for name in re.findall(r"`(\w+)`", names)
]


def test_the_table_has_the_public_names():
    """Each of them in one row, and nothing else; and the package lists them."""
    assert sorted([name for _, name in TABLE] + ["__version__"]) == scdpo.__all__ == dir(scdpo)


@pytest.mark.parametrize(("module", "name"), TABLE, ids=[name for _, name in TABLE])
def test_every_import_of_the_table_works(module, name):
    """From the module, and the same from the package."""
    assert getattr(import_module(module), name) is getattr(scdpo, name)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = scdpo.nothing


@pytest.mark.parametrize(("page", "least"), [("library.md", 3), ("grading.md", 1)])
def test_the_docs_examples_run(page, least, tmp_path, monkeypatch):
    """The Python blocks of a page, one after the other."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.S)
    assert len(blocks) >= least
    names: dict = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
