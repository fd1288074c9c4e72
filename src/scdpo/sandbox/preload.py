"""What sessions share: the modules that are loaded, warm, before the first fork, and those that can be imported later."""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any

from scdpo.sandbox.archive import ArchiveFinder

STANDARD = (
    "array",
    "bisect",
    "cmath",
    "collections",
    "copy",
    "csv",
    "ctypes",
    "datetime",
    "decimal",
    "difflib",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "locale",
    "math",
    "numbers",
    "operator",
    "pprint",
    "queue",
    "random",
    "re",
    "statistics",
    "string",
    "struct",
    "textwrap",
    "time",
    "timeit",
    "typing",
    "unicodedata",
    "uuid",
    "zlib",
    "zoneinfo",
    "calendar",
    "dataclasses",
    "enum",
    "graphlib",
    "io",
    "secrets",
)
FULL = (
    "numpy",
    "numpy.random",
    "numpy.linalg",
    "numpy.fft",
    "numpy.polynomial",
    "sympy",
    "mpmath",
    "scipy",
    "scipy.special",
    "scipy.optimize",
    "scipy.linalg",
    "scipy.integrate",
    "scipy.interpolate",
    "scipy.stats",
    "scipy.fft",
    "scipy.sparse",
    "scipy.sparse.linalg",
    "scipy.spatial",
    "scipy.signal",
    "scipy.ndimage",
    "scipy.constants",
    "scipy.cluster.hierarchy",
)
# What is slow when first used, done once before the first fork: sympy's lazy imports and its caches.
WARM_UP = """
from sympy import *
x, y, n = symbols("x y n")
str(expand((x + 1)**3)), str(factor(x**2 - 1)), str(simplify(sin(x)**2 + cos(x)**2)), str(solve(x**2 - 2, x))
solve([Eq(x + y, 3), Eq(x - y, 1)], [x, y]), solve(2*x + 3 - 7, x), solveset(x**2 - 4, x), nsolve(x**2 - 2, x, 1)
str(diff(x**3, x)), str(integrate(x**2 + sin(x), (x, 0, 1))), limit(sin(x)/x, x, 0), summation(n, (n, 1, 10))
Rational(1, 3) + Rational(1, 6), sqrt(8), pi.evalf(), N(sqrt(2), 20), Matrix([[1, 2], [3, 4]]).inv(), latex(x/2), pretty(x/2)
factorint(360), gcd(12, 18), lcm(4, 6), isprime(97), binomial(5, 2), factorial(5), divisors(12), Mod(7, 3), Abs(-2), floor(pi)
Poly(x**2 + x, x).all_coeffs(), solve_univariate_inequality(x**2 < 4, x), sympify("2*x + 1"), lambdify(x, x**2)(3)
apart(1/(x*(x + 1))), together(1/x + 1/y), cancel((x**2 - 1)/(x - 1)), series(exp(x), x, 0, 4)
Point(0, 0).distance(Point(3, 4))
"""
ARCHIVED = ("numpy", "scipy", "sympy", "mpmath")


def load(options: dict[str, Any]) -> list[str]:
    """Import what sessions share; returns the wanted packages that cannot be imported.

    A light server has the standard library alone.
    """
    pretty = ("IPython.lib.pretty",) if options["echo"] == "pretty" else ()
    missing = []
    for name in (*STANDARD, *((*FULL, *options["modules"], *pretty) if options["full"] else ())):
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    if options["full"]:
        with contextlib.suppress(Exception):
            exec(WARM_UP, {})
    archive = ArchiveFinder((*ARCHIVED, *options["modules"]) if options["full"] else ())
    keep = [finder for finder in sys.meta_path if getattr(finder, "__name__", "") in ("BuiltinImporter", "FrozenImporter")]
    sys.meta_path[:] = [*keep, archive]
    return missing
