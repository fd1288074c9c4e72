"""Files of trees with their questions, a JSON line a tree: what an import writes, and a run or an export reads.

Knows lines and trees; knows no format of other tools.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scdpo.errors import ExchangeError
from scdpo.jsonlines import read_json_lines
from scdpo.problems.problem import Problem
from scdpo.solutions.tree import SolutionTree


@dataclass(frozen=True, slots=True)
class AskedTree:
    """A tree with the problem that it solves. The problem's answer is "" where nobody knows it."""

    problem: Problem
    tree: SolutionTree

    def to_json(self) -> dict[str, Any]:
        known = self.problem
        return {"problem": known.id, "question": known.question, "answer": known.answer, "tree": self.tree.to_json()}


def tree_lines(trees: Iterable[AskedTree]) -> Iterator[str]:
    for each in trees:
        yield json.dumps(each.to_json(), ensure_ascii=False, separators=(",", ":")) + "\n"


def read_tree_file(path: str | Path) -> Iterator[AskedTree]:
    """The trees of a file that `tree_lines` wrote. Raises ExchangeError, with file and line, for what is none."""
    place = Path(path).expanduser()
    if not place.is_file():
        raise ExchangeError(f"no file of trees at {path}; make one with: scdpo import FILE --out {path} --tokenizer MODEL")
    names: set[str] = set()
    for line in read_json_lines(place):
        if line.record is None:
            raise ExchangeError(f"{line.where}: {line.flaw}")
        try:
            record = line.record
            problem = Problem(record["problem"], record["question"], record["answer"])
            asked = AskedTree(problem, SolutionTree.from_json(record["tree"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ExchangeError(f"{line.where}: no tree with its question; make the file with scdpo import") from error
        if problem.id in names:
            raise ExchangeError(f'{line.where}: problem "{problem.id}" for the second time; ids must differ')
        names.add(problem.id)
        yield asked
