"""Our evaluation as a task of lm-evaluation-harness: the same prompts, limits, ends and grader, so that its accuracy is ours.

Writes the task, and is called by the harness from it. Knows nothing of the harness but what a task file may hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scdpo.errors import ModelError
from scdpo.problems.problem import Problem

if TYPE_CHECKING:
    from scdpo.sampling.continuation import SamplingRules

PROBLEMS = "problems.jsonl"
