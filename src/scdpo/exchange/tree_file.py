"""Files of trees, a JSON line a tree: what an import or a run writes, and a run or an export reads.

Knows lines and trees; knows no format of other tools.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from scdpo.errors import ExchangeError
from scdpo.jsonlines import read_json_lines
from scdpo.solutions.tree import SolutionTree


def tree_lines(trees: Iterable[SolutionTree]) -> Iterator[str]:
    for tree in trees:
        yield json.dumps({"problem": tree.problem, "tree": tree.to_json()}, ensure_ascii=False, separators=(",", ":")) + "\n"


def read_tree_file(path: str | Path) -> Iterator[SolutionTree]:
    """The trees of a file that `tree_lines` wrote, or of a run's trees.jsonl, in which some problems have none. Raises
    ExchangeError, with file and line, for what is neither."""
    place = Path(path).expanduser()
    if not place.is_file():
        raise ExchangeError(f"no file of trees at {path}; make one with: scdpo import FILE --out {path} --tokenizer MODEL")
    names: set[str] = set()
    for line in read_json_lines(place):
        if line.record is None:
            raise ExchangeError(f"{line.where}: {line.flaw}")
        try:
            if line.record["tree"] is None:
                continue
            tree = SolutionTree.from_json(line.record["tree"])
        except (KeyError, TypeError, ValueError) as error:
            raise ExchangeError(
                f"{line.where}: no tree with its question; name a file of scdpo import, or a run's trees.jsonl"
            ) from error
        if tree.problem in names:
            raise ExchangeError(f'{line.where}: problem "{tree.problem}" for the second time; ids must differ')
        names.add(tree.problem)
        yield tree
