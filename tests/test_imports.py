"""What the package imports is declared: anywhere what pyproject.toml always brings; inside functions, and in files that only
functions import, what an extra brings."""

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import scdpo

SOURCE = Path(scdpo.__file__).parent
PROJECT = Path(__file__).parents[1] / "pyproject.toml"
TRACKERS = {"wandb", "trackio"}
"""Trackers that a recipe names: their absence is told with the cure (training/trackers.py)."""
OPTIONAL = {"engines/addresses.py", "engines/server_engine.py", "engines/vllm_draw.py", "engines/vllm_engine.py"}
"""Files that need an extra as a whole: only these import each other at the top."""
PYDANTIC = {"pydantic_core": "pydantic"}
"""Pydantic's own other half: one release pins the other."""


def modules_of(requirements: list[str]) -> set[str]:
    """The top-level modules of the distributions that these requirements name."""
    wanted = {re.split(r"[\[<>=;! ]", each)[0].lower().replace("_", "-") for each in requirements}
    provided = metadata.packages_distributions().items()
    found = {module for module, names in provided if wanted & {name.lower().replace("_", "-") for name in names}}
    return found | {name.replace("-", "_") for name in wanted}  # what is not installed here


def imported(tree: ast.AST, inside: bool = False) -> set[tuple[str, bool]]:
    """(module, whether a function imports it) of all imports; those for type checkers only are none."""
    found: set[tuple[str, bool]] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        found |= {(name, inside) for name in names}
        found |= imported(node, inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))
    return found


def test_what_is_imported_is_declared():
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    always = modules_of(project["dependencies"])
    extras = modules_of([each for extra in project["optional-dependencies"].values() for each in extra])
    missing = []
    for file in SOURCE.rglob("*.py"):
        name = str(file.relative_to(SOURCE))
        for module, lazily in imported(ast.parse(file.read_text(encoding="utf-8"))):
            lazily = lazily or name in OPTIONAL
            known = {*sys.stdlib_module_names, "scdpo"} | always | (extras | TRACKERS if lazily else set())
            top = module.partition(".")[0]
            if PYDANTIC.get(top, top) not in known:
                missing.append(f"{name}: {module}" + ("" if lazily else ", at the top"))
            if not lazily and module.removeprefix("scdpo.").replace(".", "/") + ".py" in OPTIONAL:
                missing.append(f"{name}: {module} at the top, which needs an extra")
    assert not missing


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a.b, c", {("a.b", False), ("c", False)}),
        ("from a.b import c\nfrom . import d", {("a.b", False)}),
        ("def f():\n    if x:\n        import a", {("a", True)}),
        ("class C:\n    import a\n    def f(self): import b", {("a", False), ("b", True)}),
        ("try:\n    import a\nexcept ImportError:\n    a = None", {("a", False)}),
        ("if TYPE_CHECKING:\n    import a", set()),
    ],
)
def test_imports_are_found(source, expected):
    assert imported(ast.parse(source)) == expected
