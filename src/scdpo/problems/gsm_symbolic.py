"""gsm_symbolic of reasoning-gym: GSM8K-like problems from templates, with worked answers."""

from __future__ import annotations

from collections.abc import Iterator

from scdpo.errors import ProblemError
from scdpo.problems.problem import Problem

CHUNK = 100_000


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
