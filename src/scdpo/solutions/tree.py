"""Solution trees: a correct solution and the wrong ones that leave it.

Knows steps and forks. Knows no tokens' meaning (see rendering), no model and no files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from scdpo.solutions.solution import Solution, Step, steps_from_json, steps_to_json
from scdpo.solutions.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Branch:
    """A wrong solution that keeps `fork` steps of its trunk and then goes its own way.

    fork 0 is the paper's naive dispreferred solution; fork k >= 1 its step-controlled one (Eq. 2).
    """

    fork: int
    steps: tuple[Step, ...]
    verdict: Verdict

    @property
    def is_step_controlled(self) -> bool:
        return self.fork > 0

    @property
    def text(self) -> str:
        """The branch's own text, without the kept steps."""
        return "".join(step.text for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        return {"fork": self.fork} | steps_to_json(self.steps, self.verdict)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Branch:
        return cls(record["fork"], *steps_from_json(record))


@dataclass(frozen=True, slots=True)
class SolutionTree:
    """A trunk (a correct solution of problem `problem`) and its branches. Each branch is one preference pair:

    prompt = question + kept steps, chosen = the rest of the trunk, rejected = the branch's steps.
    answer: the gold answer, "" where nobody knows it.
    """

    problem: str
    question: str
    trunk: Solution
    branches: tuple[Branch, ...] = ()
    answer: str = ""

    def kept(self, branch: Branch) -> tuple[Step, ...]:
        """The steps that chosen and rejected share."""
        return self.trunk.steps[: branch.fork]

    def whole(self, branch: Branch) -> Solution:
        """The branch with its kept steps, as one solution."""
        return Solution((*self.kept(branch), *branch.steps), branch.verdict)

    def only(self, branches: Iterable[Branch]) -> SolutionTree:
        """The same trunk with other branches."""
        return replace(self, branches=tuple(branches))

    def to_json(self) -> dict[str, Any]:
        return {
            "problem": self.problem,
            "question": self.question,
            "answer": self.answer,
            "trunk": self.trunk.to_json(),
            "branches": [branch.to_json() for branch in self.branches],
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> SolutionTree:
        return cls(
            record["problem"],
            record["question"],
            Solution.from_json(record["trunk"]),
            tuple(Branch.from_json(branch) for branch in record["branches"]),
            record["answer"],
        )
