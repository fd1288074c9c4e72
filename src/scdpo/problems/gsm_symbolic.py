"""gsm_symbolic of reasoning-gym: GSM8K-like problems from templates, with worked answers in words, or with code.

Knows a worked answer's text and the marks of code; no model and no split (see source).
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from scdpo.errors import ProblemError
from scdpo.marks import BLOCK_END, CODE, EXECUTION, TEXT
from scdpo.problems.problem import Problem

CHUNK = 100_000
Number = int | float
RESULT = re.compile(r"\s*[$£€¥]?\s*(-?\d[\d,]*(?:\.\d+)?)")
# A number, or a sign between numbers: no stroke of a unit (days/week), no dash of a word (5-minute), no x of one.
TOKEN = re.compile(r"\d[\d,]*(?:\.\d+)?|[+*()×÷]|(?<![^\W_])x(?![^\W_])|[-/](?![^\W\d_])")
SIGNS = {"x": "*", "×": "*", "÷": "/"}
OPERATIONS: dict[type, Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def gsm_symbolic(seed: int) -> Iterator[tuple[str, Problem]]:
    """A stream of problems with their questions as signatures, the same for the same seed.

    Raises ProblemError where reasoning-gym is not installed.
    """
    try:
        import reasoning_gym
    except ImportError as error:
        raise ProblemError('gsm_symbolic needs reasoning-gym; install it with pip install "scdpo[gsm]"') from error
    for item in reasoning_gym.create_dataset("gsm_symbolic", seed=seed, size=CHUNK):
        worked = item["metadata"]["answer_cot"]
        yield item["question"], Problem("", item["question"], str(item["answer"]), worked)


def gsm_symbolic_with_code(seed: int) -> Iterator[tuple[str, Problem]]:
    """The same stream, with solutions that compute."""
    for signature, problem in gsm_symbolic(seed):
        yield signature, replace(problem, solution=with_code(problem.solution or ""))


def with_code(worked: str) -> str:
    """A worked answer in marked blocks, in which Python computes each result that follows from the numbers before its `=`.

    What stands before such a calculation is said in words; an equation whose numbers do not give its result stays as it is.
    """
    blocks, words = [], ""
    for line in worked.split("\n"):
        place = 0
        for sign in re.finditer("=", line):
            result = RESULT.match(line, sign.end())
            found = calculation(line[place : sign.start()], float(result[1].replace(",", ""))) if result else None
            if result and found:
                said, code, value = found
                words += said
                blocks += [f"{TEXT}{words.strip()}{BLOCK_END}"] if words.strip() else []
                blocks += [f"{CODE}print({code}){BLOCK_END}{EXECUTION}{value}{BLOCK_END}"]
                words, place = "", result.end()
        words += line[place:] + "\n" if not place or line.startswith("#") else ""
    return "".join([*blocks, f"{TEXT}{words.strip()}{BLOCK_END}"])


def calculation(text: str, result: float) -> tuple[str, str, Number] | None:
    """The longest calculation at the end of `text` that gives `result`: what is said before it, its code, and its value."""
    tokens = list(TOKEN.finditer(text))
    for first, token in enumerate(tokens):
        if not (token.group()[0].isdigit() or token.group() == "("):
            continue
        words = (SIGNS.get(part.group(), part.group().replace(",", "")) for part in tokens[first:])
        code = " ".join(words).replace("( ", "(").replace(" )", ")")
        value = evaluate(code)
        if value is not None and math.isclose(value, result, rel_tol=1e-6):
            return text[: token.start()].rstrip("$£€¥ "), code, value
    return None


def evaluate(code: str) -> Number | None:
    """The value of a calculation as Python computes it; None for what is none, or is a number alone."""
    try:
        tree = ast.parse(code, mode="eval").body
        return _value(tree) if isinstance(tree, ast.BinOp) else None
    except (SyntaxError, KeyError, ZeroDivisionError, OverflowError):
        return None


def _value(node: ast.AST) -> Number:
    match node:
        case ast.BinOp(left, sign, right):
            return OPERATIONS[type(sign)](_value(left), _value(right))
        case ast.Constant(int() | float() as number):
            return number
    raise KeyError(type(node))
