"""The time left: near the truth once it is told, whatever the work's rhythm is, and not told before."""

from random import Random

import pytest

from scdpo.run.pace import Pace


def told(ends: list[float]) -> list[tuple[float, float, float]]:
    """(now, told, true) a second, for work whose items end at these seconds."""
    pace, items, found = Pace(0.0), iter([*ends, float("inf")]), []
    end, done = next(items), 0
    for now in range(1, int(ends[-1])):
        while end <= now:
            pace.add(end, 1)
            end, done = next(items), done + 1
        left = pace.seconds_left(now, len(ends) - done)
        if left is not None:
            found.append((now, left, ends[-1] - now))
    return found


def steady(count: int, seconds: float, start: float = 0.0) -> list[float]:
    return [start + seconds * (n + 1) for n in range(count)]


def waves(count: int, size: int, period: float, burst: float) -> list[float]:
    """Blocks whose answers all end in the last `burst` seconds of a block's `period`."""
    return [period * (block + 1) - burst + burst * (n + 1) / size for block in range(count) for n in range(size)]


def two_workers(count: int) -> list[float]:
    """Blocks of two processes, of 40 to 80 s, whose answers end in the second half."""
    random, ends = Random(5), []
    for _ in range(2):
        now = 0.0
        for _ in range(count):
            length = random.uniform(40, 80)
            ends += [now + length * (0.5 + 0.5 * random.random()) for _ in range(100)]
            now += length
    return sorted(ends)


RHYTHMS = {
    "constant": (steady(3000, 0.2), 31),
    "first steps slow": (steady(5, 2.0) + steady(6000, 0.1, 10.0), 31),
    "a model that takes a minute to load": (steady(6000, 0.1, 60.0), 241),
    "waves": (waves(30, 128, 60, 5), 310),
    "waves of answers that end bit by bit": (waves(30, 128, 60, 45), 310),
    "two workers": (two_workers(20), 200),
    "few large": (steady(12, 60.0), 301),
    "slower by and by": ([(n / 3000) ** 1.1 * 600 for n in range(1, 3001)], 31),
}


@pytest.mark.parametrize(("ends", "first"), RHYTHMS.values(), ids=RHYTHMS)
def test_what_is_told_is_near(ends, first):
    """Within a factor 1.5 at every second from the first time on, or within a wave of 75 s; and told from a known time on."""
    found = told(ends)
    assert found and found[0][0] <= first
    wrong = [each for each in found if not (each[2] / 1.5 <= each[1] <= each[2] * 1.5 or abs(each[1] - each[2]) < 75)]
    assert not wrong, f"{len(wrong)} of {len(found)}: {wrong[:5]}"


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_another_pace_is_learned_in_half_a_minute(factor):
    """A second model that takes four times as long, or a quarter: known when it has worked for a window."""
    ends = steady(1500, 0.2)
    ends += steady(1500, 0.2 * factor, ends[-1])
    settled = [each for each in told(ends) if each[0] > 331 and each[2] > 10]
    assert settled and all(true / 1.1 < left < true * 1.1 for _, left, true in settled)


def test_nothing_is_told_while_nothing_comes():
    """After an hour of steps, none for ten minutes: their pace is no longer the pace."""
    pace = Pace(0.0)
    for second in range(3600):
        pace.add(second, 1)
    assert pace.seconds_left(3600, 100) == pytest.approx(100, rel=0.1)
    assert pace.seconds_left(4200, 100) == pytest.approx(100, rel=0.1)
    assert pace.seconds_left(4500, 100) is None  # 900 s, of which the hour before does not hold five times as many


def test_a_long_stage_keeps_few_marks():
    pace = Pace(0.0)
    for second in range(100_000):
        pace.add(float(second), 3)
    assert len(pace.marks) <= 10_000
    assert pace.seconds_left(100_000.0, 300) == pytest.approx(100, rel=0.1)
