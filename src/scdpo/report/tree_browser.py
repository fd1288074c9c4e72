"""The page's tree browser: the data that trees.js draws, a small index for its list and filters apart from the trees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scdpo.report.document import Section, how_many, json_block, packed_block, render
from scdpo.report.result import TreeView


def tree_section(trees: Sequence[TreeView], more: int = 0) -> Section:
    """The section of these trees. more: how many others the run has."""
    kinds = sorted({branch["kind"] for tree in trees for branch in tree.branches if branch["kind"] is not None})
    return Section(
        id="trees",
        title="Trees",
        body=render("trees.html", count=how_many(len(trees), more), kinds=kinds),
        styles=("trees.css",),
        scripts=("list.js", "trees.js"),
        data=json_block("tree-index", list(map(index_entry, trees))) + packed_block("tree-bodies", map(tree_body, trees)),
    )


def index_entry(tree: TreeView) -> dict[str, Any]:
    """What the list, the search and the filters need of a tree."""
    controlled = [(each["fork"], each["wrong"]) for each in tree.branches if each["fork"] and each["wrong"] is not None]
    return {
        "problem": tree.problem,
        "question": tree.question,
        "answer": tree.answer,
        "forks": [branch["fork"] for branch in tree.branches],
        "kinds": sorted({branch["kind"] for branch in tree.branches if branch["kind"] is not None}),
        "before": any(wrong < fork for fork, wrong in controlled),
        "later": any(wrong > fork for fork, wrong in controlled),
    }


def tree_body(tree: TreeView) -> dict[str, Any]:
    """What the selected tree is drawn from, beside its entry in the index."""
    return {"trunk": tree.trunk, "branches": tree.branches, "tries": tree.tries}
