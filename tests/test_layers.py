"""The order of imports: a room imports from those before it, whatever stands inside functions; no file in a circle.

docs/architecture.md shows the order, and has a caption for every file.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import scdpo

SOURCE = Path(scdpo.__file__).parent
PAGE = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
ORDER = (
    *("marks", "boxes", "settings", "seeds", "errors", "cores", "jsonlines", "files", "hub", "precision"),
    *("problems", "solutions", "grading", "sandbox", "engines", "sampling", "training", "evaluation", "credit"),
    *("exchange", "report", "run", "planning", "cli", "__main__"),
)
"""Rooms, and the files that belong to none."""
CIRCLE = {"scdpo.run.stages.sample", "scdpo.run.stages.fork", "scdpo.run.stages.train"}
"""A round's samples are made with the model that the round before trained: the one circle that the work itself has."""
FILES = {
    "scdpo." + ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): file
    for file in SOURCE.rglob("*.py")
    if file != SOURCE / "__init__.py"  # the public names, of all rooms
}


def imports_of(tree: ast.AST, typed: bool) -> Iterator[str]:
    """The modules of the package that are imported anywhere. typed: for type checkers too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typed:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "scdpo":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in FILES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)
        yield from imports_of(node, typed)


@cache
def graph(typed: bool) -> dict[str, set[str]]:
    return {
        name: {each for each in imports_of(ast.parse(file.read_text(encoding="utf-8")), typed) if each in FILES}
        for name, file in FILES.items()
    }


def room(module: str) -> int:
    """The place of a module's room in the order."""
    return ORDER.index(module.split(".")[1])


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Modules that import each other, by whatever way: what is left when all without imports, or importers, are taken away."""
    edges = {name: set(to) for name, to in edges.items()}
    while ends := [name for name, to in edges.items() if not to & edges.keys()]:
        for name in ends:
            del edges[name]
    while starts := [name for name in edges if not any(name in to for to in edges.values())]:
        for name in starts:
            del edges[name]
    return [set(edges)] if edges else []


def test_a_room_imports_from_those_before_it():
    edges = graph(typed=False)
    assert not [f"{name} imports {each}" for name, to in edges.items() for each in to if room(each) > room(name)]


@pytest.mark.parametrize("typed", [False, True], ids=["imports", "and those of type checkers"])
def test_no_file_is_in_a_circle(typed):
    assert circles(graph(typed)) == [CIRCLE]


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}, "e": set()}) == [{"b", "c"}]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_the_page_shows_rooms_in_their_order():
    shown = re.findall(r"^(\w+)/ {2,}\S", PAGE, re.M)
    assert shown == [name for name in ORDER if (SOURCE / name).is_dir()]


def caption(file: Path) -> str:
    """The first sentence of a file."""
    text = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    return re.split(r"(?<=[.!?]) ", " ".join(text.split()))[0]


def test_every_file_has_its_caption():
    """In docs/architecture.md, under its room; and no file that is gone."""
    wanted = {
        (parts[0] if len(parts) > 1 else "scdpo", f"    {'/'.join(parts[1:]) or parts[0]:26} {caption(file)}")
        for file in FILES.values()
        if (parts := file.relative_to(SOURCE).parts) and file.name != "__init__.py"
    }
    shown, folder = set(), ""
    for line in PAGE[PAGE.index("\nscdpo/\n") :].splitlines():
        if found := re.match(r"(\w+)/", line):
            folder = found[1]
        elif line.startswith("    "):
            shown.add((folder, line))
    assert shown == wanted
