"""A preference pair as text: what the formats of other tools have in common, and the columns that carry what they lack.

Knows texts, questions and verdicts; knows no tokens (see growing), no format and no files. The room `exchange` may use what
problems, solutions and grading offer, and nothing below these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scdpo.marks import BLOCK_END, MESSAGE_END
from scdpo.problems.jsonl import as_text
from scdpo.solutions.solution import FinishReason
from scdpo.solutions.tree import SolutionTree
from scdpo.solutions.verdict import Verdict


class NotImportable(Exception):
    """A record that is not a pair. The text is the reason that it is counted under."""


@dataclass(frozen=True, slots=True)
class TextPair:
    """One pair: the kept steps joined, and what stands after them on either side.

    answer, problem: "" where a file has none; verdicts: None where the file only says which side is preferred; finish: "cut"
    where the sides are single steps and no ends of solutions.
    """

    question: str
    kept: str
    chosen: str
    rejected: str
    answer: str = ""
    problem: str = ""
    chosen_verdict: Verdict | None = None
    rejected_verdict: Verdict | None = None
    finish: FinishReason = "end"

    @property
    def kind(self) -> str:
        return "step-controlled" if self.kept else "naive"


def pairs_of(tree: SolutionTree) -> Iterator[tuple[int, TextPair]]:
    """(fork, pair) of every branch of a tree.

    Solutions in marked blocks end in their own mark, which is not a token that other tools add; reading takes it off again.
    """
    in_blocks = tree.trunk.text.rstrip().endswith(BLOCK_END)
    end = MESSAGE_END if in_blocks and tree.trunk.finish == "end" else ""
    for branch in tree.branches:
        kept = "".join(step.text for step in tree.kept(branch))
        yield (
            branch.fork,
            TextPair(
                question=tree.question,
                kept=kept,
                chosen=tree.trunk.text[len(kept) :] + end,
                rejected=branch.text + end,
                answer=tree.answer,
                problem=tree.problem,
                chosen_verdict=tree.trunk.verdict,
                rejected_verdict=branch.verdict,
                finish=tree.trunk.finish,
            ),
        )


def columns(pair: TextPair, fork: int) -> dict[str, Any]:
    """What the tools have no place for, as columns that they pass over and `from_columns` reads."""
    return {
        "problem": pair.problem,
        "question": pair.question,
        "answer": pair.answer,
        "pair": pair.kind,
        "fork": fork,
        "kept": pair.kept,
        "chosen_verdict": pair.chosen_verdict and asdict(pair.chosen_verdict),
        "rejected_verdict": pair.rejected_verdict and asdict(pair.rejected_verdict),
        "finish": pair.finish,
    }


def from_columns(record: Mapping[str, Any], chosen: str, rejected: str) -> TextPair:
    """The pair of a row that has our columns. chosen, rejected: after the kept steps."""
    return TextPair(
        question=record["question"],
        kept=record["kept"],
        chosen=chosen,
        rejected=rejected,
        answer=as_text(record.get("answer")),
        problem=as_text(record.get("problem")),
        chosen_verdict=_verdict(record.get("chosen_verdict")),
        rejected_verdict=_verdict(record.get("rejected_verdict")),
        finish="cut" if record.get("finish") == "cut" else "end",
    )


def has_columns(record: Mapping[str, Any]) -> bool:
    """Whether a row says which steps are kept, as our exports do."""
    return isinstance(record.get("question"), str) and isinstance(record.get("kept"), str)


def _verdict(value: Any) -> Verdict | None:
    try:
        return None if value is None else Verdict(**value)
    except TypeError:
        return None


def text_of(record: Mapping[str, Any], name: str) -> str:
    """A field that must be a text. Raises NotImportable."""
    value = record.get(name)
    if not isinstance(value, str):
        raise NotImportable(f'"{name}" is not text')
    return value
