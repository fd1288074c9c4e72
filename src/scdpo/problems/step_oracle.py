"""The step oracle: which step of a sampled solution is the first wrong one, and why.

Works on the steps' texts and on the facts that a generator keeps with its problem; knows no model and no tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scdpo.marks import BLOCK_END, CODE, EXECUTION, TEXT
from scdpo.problems.problem import Problem

ErrorKind = Literal["wrong quantity", "wrong operation", "wrong arithmetic", "malformed"]
ERROR_KINDS: tuple[ErrorKind, ...] = ("wrong quantity", "wrong operation", "wrong arithmetic", "malformed")

EQUATION = re.compile(r"(\w+): (\d{1,9}) ([-+*/]) (\d{1,9}) = (\d{1,9})")
ANSWER = re.compile(r"#### (\d{1,9})")
MARKED_TEXT = re.compile(f"{re.escape(TEXT)}(.*?){re.escape(BLOCK_END)}", re.DOTALL)
COMPUTED = re.compile(
    rf"{re.escape(CODE)}(\w+) = (\w+) (//|[-+*]) (\w+)\nprint\(\1\){re.escape(BLOCK_END)}"
    rf"{re.escape(EXECUTION)}(.*?){re.escape(BLOCK_END)}",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class StepError:
    """The first wrong step: its index in the solution, and what is wrong with it."""

    step: int
    kind: ErrorKind


def are_facts(value: Any) -> bool:
    """Whether a value has the form of a problem's facts: {"equations": {owner: [left, operator, right, result]}}."""
    equations = value.get("equations") if isinstance(value, dict) else None
    return isinstance(equations, dict) and all(
        isinstance(parts, list) and [type(part) for part in parts] == [int, str, int, int] for parts in equations.values()
    )


def first_error(problem: Problem, steps: Sequence[str]) -> StepError | None:
    """The first wrong step of a solution, or None where every step is true and the last states the answer.

    A step is judged against the truth alone, so a different order of true steps, or a true step that nobody needs, is no
    error. Raises ValueError for a problem that carries no facts.
    """
    if problem.facts is None:
        raise ValueError(f"problem {problem.id} carries no facts to judge steps by")
    for index, step in enumerate(steps):
        kind = step_error(problem.answer, problem.facts, unmarked(step))
        if kind is not None:
            return StepError(index, kind)
    if not steps or not ANSWER.fullmatch(unmarked(steps[-1])):
        return StepError(len(steps), "malformed")
    return None


def unmarked(step: str) -> str:
    """A step without the marks of a text block and the white space around it; code keeps its own."""
    marked = MARKED_TEXT.fullmatch(step.strip())
    return (marked.group(1) if marked else step).strip()


def step_error(answer: str, facts: Mapping[str, Any], step: str) -> ErrorKind | None:
    """What is wrong with one step, or None.

    The quantities are looked at first, then the operation, then the arithmetic: where both the operands and the operation
    differ from the truth, the step counts as "wrong quantity". Computed steps are judged alike, and by what their code printed.
    """
    stated = ANSWER.fullmatch(step)
    if stated:
        return None if stated.group(1) == answer else "wrong quantity"
    line = EQUATION.fullmatch(step)
    computed = COMPUTED.fullmatch(step)
    if line:
        owner, left, operator, right, result = line.groups()
    elif computed:
        owner, left, operator, right, result = computed.groups()
        operator = operator[0]
    else:
        return "malformed"
    equations = facts["equations"]
    if owner not in equations:
        return "wrong quantity"
    true_left, true_operator, true_right, true_result = equations[owner]
    operands = tuple(_value(operand, equations) for operand in (left, right))
    if operands not in ((true_left, true_right), (true_right, true_left)):
        return "wrong quantity"
    if operator != true_operator or not (operands == (true_left, true_right) or operator in "+*"):
        return "wrong operation"
    if not result.isdecimal():  # the code failed
        return "malformed"
    return None if int(result) == true_result else "wrong arithmetic"


def _value(operand: str, equations: Mapping[str, Any]) -> int | None:
    """The number of an operand: its own, or for a variable the true one of the owner that it is named after."""
    if operand.isdecimal():
        return int(operand)
    return equations[operand][3] if operand in equations else None
