"""The process that compares mathematics with Math-Verify, run as `python -P symbolic_worker.py MEGABYTES`.

Imports nothing of scdpo.

Two processes: a keeper that has imported Math-Verify once and holds no work, and its forked worker with a memory limit. The
grader kills a worker that takes too long; the keeper forks the next one within milliseconds. Requests and replies are JSON
lines on standard input and output, one request at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
from functools import lru_cache
from typing import Any

POINTS = ("0.7390851332151607", "-1.3247179572447460", "2.0945514815423265")


class TooSlow(BaseException):
    """The worker's own clock ran out. No Exception, so that no handler of a library takes it for one of its own."""


def answer(prediction: str, gold: str) -> dict[str, Any]:
    """{"same": true, false or null, "reason"}. Both are LaTeX; the gold one goes first to verify, which is asymmetric."""
    from math_verify import verify

    first, second = parse_latex(gold), parse_latex(prediction)
    if not first or not second:
        return {
            "same": None,
            "reason": "no mathematics that can be read in " + ("the gold answer" if not first else "the answer"),
        }
    if is_undefined(first[0]) or is_undefined(second[0]):
        return {"same": None, "reason": "an undefined value"}
    kinds = kind_of(first[0]), kind_of(second[0])
    if kinds[0] != kinds[1] and "matrix" in kinds:
        return {"same": None, "reason": "another kind of answer"}
    alike = equal_at_points(first[0], second[0])
    if alike is None:
        alike = verify(first, second, allow_set_relation_comp=True, timeout_seconds=None)
        if not alike and kinds[0] != kinds[1]:
            return {"same": None, "reason": "another kind of answer"}
    return {"same": alike, "reason": "" if alike else "another answer"}


@lru_cache(maxsize=2048)
def parse_latex(text: str) -> list[Any]:
    """What Math-Verify reads in \\boxed{text}, without the strings that it could not read; [] for nothing.

    Only the LaTeX grammar is used: the reader of plain expressions would pass a model's text to `eval`.
    """
    from math_verify import LatexExtractionConfig, parse

    parsed = parse(rf"\boxed{{{text}}}", [LatexExtractionConfig(boxed_match_priority=0)], parsing_timeout=None)
    return [plain_symbols(value) for value in parsed if not isinstance(value, str)]


def plain_symbols(value: Any) -> Any:
    """The same with every letter a real symbol and i the imaginary unit: the parser guesses both, for each text by itself."""
    from sympy import I, Product, Sum, Symbol

    names = {symbol: I if symbol.name == "i" else Symbol(symbol.name, real=True) for symbol in value.free_symbols}
    if any(symbol.name == "i" for symbol in names) and value.has(Sum, Product):
        return value
    return value.subs(names) if any(symbol != plain for symbol, plain in names.items()) else value


def is_undefined(value: Any) -> bool:
    """Whether a value holds a division by zero or the like."""
    from sympy import nan, zoo

    return bool(value.has(zoo, nan))


def kind_of(value: Any) -> str:
    """Whether a parsed answer is an expression, a relation, a set or a matrix."""
    from sympy import MatrixBase, Set, Tuple
    from sympy.core.relational import Relational

    for kind, name in ((MatrixBase, "matrix"), (Relational, "relation"), ((Set, Tuple), "set")):
        if isinstance(value, kind):
            return name
    return "expression"


def equal_at_points(first: Any, second: Any) -> bool | None:
    """Whether two expressions have the same values at three points, or are the same constant to 45 digits.

    None where that shows nothing. Much faster than simplification, and as sure: expressions that differ do so at any point
    but a few. Points where one of them is not real are passed over (the logarithm of a negative number). Floats are left to
    Math-Verify's rounding.
    """
    from sympy import Expr, Float, I

    if not isinstance(first, Expr) or not isinstance(second, Expr) or first.has(Float) or second.has(Float):
        return None
    symbols = sorted(first.free_symbols | second.free_symbols, key=str)
    complex_values = not symbols or first.has(I) or second.has(I)
    compared, digits = 0, 20 if symbols else 50
    try:
        for shift in range(len(POINTS) if symbols else 1):
            at = {symbol: Float(POINTS[(shift + place) % len(POINTS)], 40) + place for place, symbol in enumerate(symbols)}
            one, other = (value.doit().evalf(digits, subs=at) for value in (first, second))
            if not one.is_number or not other.is_number or not one.is_finite or not other.is_finite:
                return None
            if not complex_values and not (one.is_real and other.is_real):
                continue
            compared += 1
            if abs(one - other) > max(abs(one), abs(other), Float("1e-3")) * Float(f"1e-{digits - 5}"):
                return False
    except (TypeError, ValueError, AttributeError, ArithmeticError):
        return None
    return True if compared else None


def serve(megabytes: int) -> None:
    """Answer requests until the input ends."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(2000)
    signal.signal(signal.SIGALRM, _ring)
    say({"worker": os.getpid()})
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_REAL, request["seconds"])
        try:
            reply = answer(request["prediction"], request["gold"])
        except TooSlow:
            reply = {"same": None, "reason": "took too long to compare"}
        except MemoryError:
            reply = {"same": None, "reason": "took too much memory to compare"}
        except (Exception, RecursionError) as error:
            reply = {"same": None, "reason": f"could not be compared ({type(error).__name__})"}
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        say({"id": request["id"], **reply})


def _ring(*_: object) -> None:
    raise TooSlow


def say(message: dict[str, Any]) -> None:
    os.write(REPLIES, (json.dumps(message) + "\n").encode())


def keep(megabytes: int) -> None:
    """Fork a worker and, whenever one dies, the next; end when one has seen the end of the input."""
    while True:
        child = os.fork()
        if child == 0:
            try:
                serve(megabytes)
            except BaseException:
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        say({"died": status})


# Libraries may print; replies go to a descriptor of their own and what is printed to nowhere.
REPLIES = 1

if __name__ == "__main__":
    REPLIES = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import logging

    logging.disable(logging.CRITICAL)
    answer("x + 1", "1 + x")
    answer(r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}} + 1")
    keep(int(sys.argv[1]))
