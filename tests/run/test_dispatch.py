"""Tasks among members that come and go: each ends once, in order, and few are in hand."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdpo.errors import RunError
from scdpo.run.dispatch import AHEAD, LOST, dispatch


class FakeCrew:
    """Members without processes: `places` of them fit; of those at work, a random one ends each time that one waits, with its
    task's result or (at most twice a task) lost. drift: how many places come or go meanwhile."""

    drift: tuple[int, ...] = (-1, 0, 1)

    def __init__(self, chance: Random, places: int, share_lost: float) -> None:
        self.chance, self.places, self.share_lost = chance, places, share_lost
        self.free = 0
        self.busy: dict[int, tuple] = {}
        self.given: list[int] = []

    def room(self) -> int:
        return self.free + max(1, self.places - self.free - len(self.busy))

    def start(self, tasks: int) -> None:
        self.free = max(self.free, min(tasks, self.places - len(self.busy)))

    def give(self, index: int, task: tuple) -> None:
        assert self.free > 0 and index not in self.busy
        self.free -= 1
        self.busy[index] = task
        self.given.append(index)

    def wait(self) -> list[tuple[int, object]]:
        self.places = max(1, self.places + self.chance.choice(self.drift))
        if not self.busy:
            return []
        index = self.chance.choice(list(self.busy))
        task = self.busy.pop(index)
        if self.chance.random() < self.share_lost and self.given.count(index) < 3:
            return [(index, LOST)]
        self.free += 1
        return [(index, task[0] * 10)]


@given(seed=st.integers(0, 10_000), places=st.integers(1, 6), share_lost=st.sampled_from([0.0, 0.3, 1.0]))
def test_every_task_ends_once_and_in_order(seed, places, share_lost):
    """Whoever is lost and whoever comes: the results of all tasks, each once, in the tasks' order."""
    crew = FakeCrew(Random(seed), places, share_lost)
    assert list(dispatch(((n,) for n in range(25)), crew)) == [n * 10 for n in range(25)]
    assert not crew.busy


def test_a_lost_task_goes_out_before_later_ones():
    crew = FakeCrew(Random(0), places=1, share_lost=1.0)
    crew.drift = (0,)
    assert list(dispatch(((n,) for n in range(4)), crew)) == [0, 10, 20, 30]
    assert crew.given == [n for n in range(4) for _ in range(3)]


def test_few_tasks_are_taken_ahead_of_a_slow_one():
    """While task 0 does not end, tasks are taken up to the window, and no more are given out than that."""
    taken = []

    class Slow(FakeCrew):
        def wait(self):
            others = [index for index in self.busy if index]
            ending = others[0] if others else 0
            self.busy.pop(ending)
            self.free += 1
            return [(ending, ending)]

    results = dispatch(((taken.append(n),) for n in range(1000)), Slow(Random(0), 3, 0.0))
    assert next(results) == 0
    assert len(taken) <= AHEAD * 2 * 3, "twice those that work and that there is room for"
    assert list(results) == list(range(1, 1000))


def test_a_task_that_ends_all_who_have_it_is_an_error():
    class Doomed(FakeCrew):
        def wait(self):
            return [(index, LOST) for index in list(self.busy) if self.busy.pop(index)]

    with pytest.raises(RunError, match=r"ended its Ray actor 3 times.*run the same command again.*--ray.actors"):
        list(dispatch([(1,)], Doomed(Random(0), 1, 0.0)))
