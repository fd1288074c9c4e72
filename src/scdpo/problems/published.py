"""The published problem sets: how a record of each becomes a problem, where it lies on the hub, and how it is asked.

Knows records; knows no files (see records).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scdpo.boxes import last_boxes
from scdpo.errors import ProblemError
from scdpo.problems.jsonl import as_text, parse_problem
from scdpo.problems.messages import question_and_answer
from scdpo.problems.problem import NO_ANSWER, Problem

CALCULATOR = re.compile(r"<<[^<>\n]*>>")
AFTER_HASHES = "{question}\n\nReason step by step, then give the final answer after ####.\n\n"
IN_A_BOX = "{question}\n\nReason step by step, and put the final answer in \\boxed{}.\n\n"
ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{question}\n\n### Response: Let's think step by step."
)
STATED = re.compile(r"The answer is:?\s*([^\n]+)")
CHINESE = "{question}\n\n请一步一步推理，最后把答案写在 #### 之后。\n\n"


@dataclass(frozen=True, slots=True)
class ProblemSet:
    """A set as published. fields: those that each record has (a|b: one of them); read: from a record, where it stands, and an
    id for want of one. hub: the data set's name there; only: what a file's path holds where one folder holds other languages
    or versions too.
    """

    title: str
    fields: tuple[str, ...]
    read: Callable[[Mapping[str, Any], str, str], Problem]
    template: str = "{question}\n"
    language: str | None = None
    hub: str | None = None
    only: str = ""


def _of(record: Mapping[str, Any], *names: str) -> str:
    return next((text for name in names if (text := as_text(record.get(name)))), "")


def _has(record: Mapping[str, Any], name: str) -> bool:
    return bool(_of(record, name)) or bool(isinstance(record.get(name), list) and record[name])


def _gsm8k(record: Mapping[str, Any], where: str, fallback_id: str) -> Problem:
    worked, hashes, answer = CALCULATOR.sub("", _of(record, "answer")).rpartition("####")
    if not hashes or not answer.strip():
        raise ProblemError(f'{where}: "answer" does not end in a line "#### N"; GSM8K\'s do (see docs/problems.md)')
    return Problem(fallback_id, _of(record, "question"), answer.strip(), f"{worked}#### {answer.strip()}", "en")


def _math(record: Mapping[str, Any], where: str, fallback_id: str) -> Problem:
    solution = _of(record, "solution")
    answer = last_boxes(solution)
    if not answer:
        raise ProblemError(f'{where}: no \\boxed answer in "solution"; MATH\'s have one (see docs/problems.md)')
    return Problem(_of(record, "unique_id") or fallback_id, _of(record, "problem"), answer, solution, "en")


def _svamp(record: Mapping[str, Any], where: str, fallback_id: str) -> Problem:
    question = f"{_of(record, 'Body')} {_of(record, 'Question')}"
    return Problem(_of(record, "ID") or fallback_id, question, _of(record, "Answer"), None, "en")


def _ape210k(record: Mapping[str, Any], where: str, fallback_id: str) -> Problem:
    return Problem(
        _of(record, "id") or fallback_id,
        _of(record, "original_text", "question_chinese"),
        _of(record, "ans", "result"),
        None,
        "zh",
    )


def _cmath(record: Mapping[str, Any], where: str, fallback_id: str) -> Problem:
    return Problem(fallback_id, _of(record, "question"), _of(record, "golden"), None, "zh")


def _mgsm_zh(record: Mapping[str, Any], where: str, fallback_id: str) -> Problem:
    return Problem(fallback_id, _of(record, "question"), _of(record, "answer_number"), None, "zh")


def _metamath(record: Mapping[str, Any], where: str, fallback_id: str) -> Problem:
    response = _of(record, "response")
    stated = STATED.findall(response)
    answer = stated[-1].strip().rstrip(".") if stated else NO_ANSWER
    return Problem(fallback_id, _of(record, "query"), answer, response, "en")


def _messages(record: Mapping[str, Any], where: str, fallback_id: str) -> Problem:
    try:
        question, answer = question_and_answer(record["messages"])
    except ValueError as error:
        raise ProblemError(f'{where}: "messages" is {error}; leave such records out (see docs/problems.md)') from error
    return Problem(as_text(record.get("id")) or fallback_id, question, NO_ANSWER, answer)


def _own(record: Mapping[str, Any], where: str, fallback_id: str) -> Problem:
    """One's own record; a worked solution may stand without a gold answer (see refuse_unanswered in source)."""
    is_worked = isinstance(record.get("solution"), str) and not as_text(record.get("answer"))
    return parse_problem({**record, "answer": NO_ANSWER} if is_worked else record, where, fallback_id)


PUBLISHED: dict[str, ProblemSet] = {
    "gsm8k": ProblemSet("GSM8K", ("question", "answer"), _gsm8k, AFTER_HASHES, "en", "openai/gsm8k", "main/"),
    "math": ProblemSet("MATH", ("problem", "solution"), _math, IN_A_BOX, "en", "EleutherAI/hendrycks_math"),
    "svamp": ProblemSet("SVAMP", ("Body", "Question", "Answer"), _svamp, AFTER_HASHES, "en", "ChilleD/SVAMP"),
    "ape210k": ProblemSet(
        "APE210K", ("original_text|question_chinese", "ans|result"), _ape210k, CHINESE, "zh", "MU-NLPC/Calc-ape210k"
    ),
    "cmath": ProblemSet("CMATH", ("question", "golden"), _cmath, CHINESE, "zh", "weitianwen/cmath"),
    "mgsm_zh": ProblemSet("MGSM-zh", ("question", "answer_number"), _mgsm_zh, CHINESE, "zh", "juletxara/mgsm", "zh"),
    "metamath": ProblemSet("MetaMathQA", ("query", "response"), _metamath, ALPACA, "en", "meta-math/MetaMathQA"),
    "messages": ProblemSet("conversations", ("messages",), _messages, hub="MathLLMs/MathCodeInstruct"),
    "jsonl": ProblemSet("your own", ("question", "answer"), _own),
}


def read_problem(name: str, record: Mapping[str, Any], where: str, fallback_id: str) -> Problem:
    """A record of the set `name` as a problem.

    Raises ProblemError naming `where` for a field that is missing, and for a record that is plainly another set's.
    """
    published = PUBLISHED[name]
    missing = missing_field(record, published)
    likely = next((other for other in PUBLISHED if missing_field(record, PUBLISHED[other]) is None), None)
    if missing is None or (name == "jsonl" and likely is None):
        return published.read(record, where, fallback_id)
    if likely is not None:
        raise ProblemError(
            f'{where}: no "{missing}"; this looks like {PUBLISHED[likely].title}: set the source to {likely}:PATH'
        )
    raise ProblemError(f'{where}: no "{missing}"; every record of {published.title} has one (see docs/problems.md)')


def missing_field(record: Mapping[str, Any], published: ProblemSet) -> str | None:
    """The first of the set's fields that a record lacks, or None."""
    return next((f for f in published.fields if not any(_has(record, name) for name in f.split("|"))), None)
