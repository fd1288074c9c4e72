"""Localisation and ProcessBench: figures worked out by hand, chance, intervals over problems, no threshold that saw its own."""

import random
from dataclasses import replace

import numpy as np
import pytest

from scdpo.credit.localisation import auroc, compared, localisation
from scdpo.credit.processbench import first_below, processbench
from scdpo.credit.record import CreditedSolution
from tests.conftest import FIGURES


def credited(steps, wrong, question="q", name="s", **more):
    """A solution of one character a token. steps: score -> the values of each step's tokens."""
    first = next(iter(steps.values()))
    ends = np.cumsum([len(values) for values in first]).tolist()
    spans = tuple(zip([0, *ends[:-1]], ends, strict=True))
    count = ends[-1]
    return CreditedSolution(
        name=name,
        question=question,
        text="x" * count,
        steps=spans,
        ids=(*range(count), 99),
        spans=(*((n, n + 1) for n in range(count)), (count, count)),
        step_of=(*(step for step, values in enumerate(first) for _ in values), len(first) - 1),
        values={score: (*(value for values in each for value in values), -50.0) for score, each in steps.items()},
        wrong=wrong,
        **more,
    )


def test_figures_by_hand():
    """Two solutions. good: lowest sum and lowest token in the wrong step of both. bad: of neither (-1 against -4, -3 -5).

    AUROC of good: wrong tokens -5, -3 (and -4) against -1, -1: all below. Of bad: 0, -1 and -3 against -2, -2 and the second
    solution has none before: -3 is below both, 0 and -1 above: 2 of 6. The end-of-sequence token's -50 counts nowhere.
    """
    solutions = [
        credited({"good": [[-1.0, -1.0], [-5.0, -3.0]], "bad": [[-2.0, -2.0], [0.0, -1.0]]}, 1, "a"),
        credited({"good": [[-4.0], [-1.0, -2.0]], "bad": [[-3.0], [-5.0, 0.0]]}, 0, "b"),
    ]
    found = localisation(solutions)
    assert (found.solutions, found.problems) == (2, 2)
    assert [found.scores["good"][name].value for name in FIGURES] == [1.0, 1.0, 1.0]
    assert [found.scores["bad"][name].value for name in FIGURES] == pytest.approx([0.0, 0.0, 1 / 3])
    assert found.chance == pytest.approx({"first_wrong_step": 0.5, "lowest_token": (2 / 4 + 1 / 3) / 2, "token_auroc": 0.5})


def test_only_known_errors_count():
    """Right solutions, unjudged ones, and those whose missing last step is the error, are left out."""
    steps = {"m": [[-1.0], [0.0]]}
    others = [credited(steps, wrong) for wrong in (None, -1, 2)]
    assert localisation(others) is None
    assert localisation([*others, credited(steps, 0)]).solutions == 1


def test_without_tokens_before_there_is_no_auroc():
    """Where every error is in the first step, nothing is made up."""
    assert set(localisation([credited({"m": [[-1.0], [0.0]]}, 0)]).scores["m"]) == {"first_wrong_step", "lowest_token"}


def test_few_problems_resolve_nothing():
    """Five of fifty problems gained, none lost: the bootstrap leaves zero out, the sign test says p = 2 / 2^5. One problem, and
    a score that is always right, have an interval all the same."""
    solutions = []
    for problem in range(50):
        wins = [[-1.0], [0.0]]
        loses = [[0.0], [-1.0]] if problem < 5 else wins
        solutions.append(credited({"dpo": loses, "scdpo": wins}, 0, f"q{problem}"))
    found = localisation(solutions)
    difference = found.differences["scdpo - dpo"]["first_wrong_step"]
    assert difference.value == pytest.approx(0.1) and difference.low > 0 and difference.p == pytest.approx(0.0625)
    assert not difference.is_resolved
    always = found.scores["scdpo"]["first_wrong_step"]
    assert (always.value, always.high, always.n) == (1.0, 1.0, 50) and 0.9 < always.low < 0.95
    one = localisation(solutions[:1])
    assert (
        one.scores["dpo"]["first_wrong_step"].high > 0.7 and not one.differences["scdpo - dpo"]["first_wrong_step"].is_resolved
    )


def test_other_models_are_held_against_the_first():
    """Folders and later rounds have no usual partner."""
    assert compared(["scdpo", "/m/a", "/m/b"]) == [("scdpo", "/m/a"), ("scdpo", "/m/b")]
    assert compared(["/m/a", "dpo", "scdpo"]) == [("dpo", "scdpo"), ("/m/a", "dpo"), ("/m/a", "scdpo")]
    assert compared(["dpo"]) == []


def test_auroc_is_the_share_of_ordered_pairs():
    """Against counting all pairs, ties half, each token as often as its problem was drawn."""
    rng = random.Random(5)
    low, high = ([(rng.randint(-3, 3), rng.randrange(4)) for _ in range(size)] for size in (30, 50))
    weights = np.array([[1, 1, 1, 1], [0, 2, 1, 3]])
    expected = []
    for weight in weights:
        pairs = [(weight[i] * weight[j], (a < b) + (a == b) / 2) for a, i in low for b, j in high]
        expected.append(sum(count * won for count, won in pairs) / sum(count for count, _ in pairs))
    assert auroc(np.array(low, dtype=float), np.array(high, dtype=float), weights) == pytest.approx(expected)


def guesses(problems, rng, each=1):
    """Random scores: a, b independent; the wrong step at random among four of two tokens."""
    solutions = []
    for problem in range(problems):
        for _ in range(each):
            steps = {name: [[rng.gauss(0, 1), rng.gauss(0, 1)] for _ in range(4)] for name in ("dpo", "scdpo")}
            solutions.append(credited(steps, rng.randrange(4), f"q{problem}"))
    return solutions


def test_random_scores_are_at_chance():
    found = localisation(guesses(1500, random.Random(1)))
    for score in ("dpo", "scdpo"):
        for name in FIGURES:
            estimate = found.scores[score][name]
            assert estimate.low - 0.01 < found.chance[name] < estimate.high + 0.01
    assert not found.differences["scdpo - dpo"]["first_wrong_step"].is_resolved


def test_the_interval_is_over_problems():
    """Ten copies of each solution under its problem add nothing to what is known: the interval stays as wide."""
    solutions = guesses(150, random.Random(2))
    once, often = localisation(solutions), localisation(solutions * 10)
    for name in FIGURES:
        narrow, wide = (each.scores["dpo"][name].high - each.scores["dpo"][name].low for each in (once, often))
        assert wide == pytest.approx(narrow, rel=0.02)


def test_the_paired_difference_is_narrower_than_two_intervals():
    """Of nearly equal scores the difference is known far better than either figure."""
    rng = random.Random(3)
    solutions = []
    for problem in range(300):
        values = [[rng.gauss(0, 1)] for _ in range(5)]
        close = [[value + rng.gauss(0, 0.02) for value in each] for each in values]
        solutions.append(credited({"dpo": values, "scdpo": close}, rng.randrange(5), f"q{problem}"))
    found = localisation(solutions)
    width = lambda estimate: estimate.high - estimate.low  # noqa: E731
    difference = found.differences["scdpo - dpo"]["first_wrong_step"]
    assert width(difference) < 0.5 * width(found.scores["dpo"]["first_wrong_step"])


def test_processbench_by_hand():
    """Threshold -1: of two wrong solutions one is named rightly, of two right ones one is left alone: F1 = 1/2."""
    solutions = [
        credited({"m": [[0.0], [-2.0], [-3.0]]}, 1, "a"),
        credited({"m": [[-2.0], [-5.0]]}, 1, "b"),
        credited({"m": [[0.0], [-0.5]]}, -1, "c"),
        credited({"m": [[0.0], [-1.5]]}, -1, "d"),
    ]
    found = processbench(solutions, "m", threshold=-1.0)
    assert (found.erroneous.value, found.correct.value, found.f1.value) == (0.5, 0.5, 0.5)
    assert first_below([0.0, -2.0, -3.0], -1.0) == 1 and first_below([0.0], -1.0) == -1
    assert processbench(solutions[:2], "m") is None
    assert processbench([replace(each, question="the same") for each in solutions], "m") is None, "no half to choose it on"


def test_no_threshold_has_seen_what_it_judges():
    """On noise the F1 of a threshold chosen on the same solutions flatters; the cross-fitted one does not, on average."""
    rng = random.Random(4)
    honest, flattering = [], []
    for trial in range(12):
        solutions = [
            credited({"m": [[rng.gauss(0, 1)] for _ in range(4)]}, rng.choice([-1, -1, 0, 1, 2, 3]), f"{trial} {n}")
            for n in range(36)
        ]
        honest.append(processbench(solutions, "m").f1.value)
        sums = sorted(value for solution in solutions for value in solution.step_sums("m"))
        flattering.append(max(processbench(solutions, "m", at).f1.value for at in sums[::3]))
    assert np.mean(honest) < np.mean(flattering) - 0.05


def test_a_perfect_score_solves_processbench():
    solutions = [credited({"m": [[0.0], [-3.0 if n % 2 else 0.1], [0.0]]}, 1 if n % 2 else -1, f"q{n}") for n in range(60)]
    found = processbench(solutions, "m")
    assert found.f1.value == 1.0 and len(found.thresholds) == 2
