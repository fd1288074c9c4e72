"""The driver: attempts ahead of their need change no result, cost at most about as much again, and leave nothing behind."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdpo.engines.interface import Completion, Generate
from scdpo.sampling.driver import Attempt, Attempts, Execute, run_all
from scdpo.sandbox.output import Output
from tests.conftest import GREEDY


class SlowEngine:
    """Answers a request after as many advances as its seed says, at most `rows` at a time, with its seed as the only id."""

    def __init__(self, rows: int) -> None:
        self.rows, self.waiting, self.asked, self.cancelled, self.advances = rows, {}, [], 0, 0

    def submit(self, ticket, request):
        assert ticket not in self.waiting, "a ticket names one request at a time"
        self.waiting[ticket] = [request.seed % 5 + 1, request.seed]
        self.asked.append(request.seed)

    def cancel(self, ticket):
        self.cancelled += self.waiting.pop(ticket, None) is not None

    def advance(self):
        self.advances += 1
        at_work = dict(list(self.waiting.items())[: self.rows])
        for state in at_work.values():
            state[0] -= 1
        done = [(ticket, Completion((seed,), (0.0,), (0.0,), "end")) for ticket, (left, seed) in at_work.items() if not left]
        for ticket, _ in done:
            del self.waiting[ticket]
        return done

    def reset(self):
        self.waiting = {}


class Echo:
    """A sandbox that answers with the code, and knows which sessions are open."""

    most_sessions = 100

    def __init__(self) -> None:
        self.open, self.due = set(), []

    def submit(self, ticket, session, code):
        self.open.add(session)
        self.due.append((ticket, Output(code, "ok")))

    def poll(self, seconds=0.0):
        due, self.due = self.due, []
        return due

    def close(self, session):
        self.open.discard(session)


def attempt(seed: int, with_code: bool):
    """Some requests, and code between them; a few end by an exception."""
    total = 0
    for part in range(seed % 3 + 1):
        completion = yield Generate((1,), GREEDY, 5, seed=seed * 7 + part)
        total += completion.ids[0]
        if with_code:
            output = yield Execute(str(total), fresh=part == 0)
            assert output.text == str(total)
    if seed % 11 == 0:
        raise ValueError(seed)
    return total


def search(number: int, limit: int, stages: int, with_code: bool):
    """Wants attempts until one will do, several times over."""
    found = []
    for stage in range(stages):
        draw = random.Random(f"{number}:{stage}")
        seeds = [draw.randint(1, 999) for _ in range(limit)]
        attempts = Attempts(lambda k, seeds=seeds: attempt(seeds[k], with_code), limit)
        for k in range(limit):
            try:
                value = yield Attempt(attempts, k)
            except ValueError as error:
                found.append(str(error))
                break
            found.append(value)
            if value % 4 == 0:
                break
    return found


def many_searches(number: int, limit: int, stages: int, with_code: bool):
    """Searches that are all wanted, and one after them, then a request of its own."""
    searches = Attempts(lambda k: search(10 * number + k, limit, stages, with_code), 4, all_wanted=True)
    found = []
    for k in range(4):
        found.append((yield Attempt(searches, k)))
    found.append((yield from search(number, limit, stages, with_code)))
    completion = yield Generate((1,), GREEDY, 5, seed=number)
    return [*found, completion.ids]


@given(
    st.sampled_from([search, many_searches]),
    st.integers(1, 9),
    st.integers(1, 12),
    st.integers(1, 3),
    st.booleans(),
    st.integers(1, 12),
    st.integers(1, 9),
)
def test_attempts_ahead_change_no_result(rollout, searches, limit, stages, with_code, rows, in_flight):
    def run(ahead):
        engine, sandbox = SlowEngine(rows), Echo()
        results = run_all(
            (rollout(n, limit, stages, with_code) for n in range(searches)), engine, in_flight, sandbox=sandbox, ahead=ahead
        )
        assert not engine.waiting and not sandbox.open
        return results

    assert run(0) == run(rows) == run(100)


def test_attempts_ahead_save_waiting_and_waste_at_most_as_much_again():
    """One search of many attempts in 64 places: far fewer advances, and at most twice the requests."""

    def run(ahead):
        def never():
            attempts = Attempts(lambda k: attempt(33 * k + 1, False), 1000)
            for k in range(100):
                yield Attempt(attempts, k)

        engine = SlowEngine(64)
        run_all([never()], engine, 64, ahead=ahead)
        return engine

    alone, ahead = run(0), run(64)
    assert not alone.cancelled and ahead.cancelled
    assert ahead.advances < alone.advances / 8
    assert len(ahead.asked) <= 2.2 * len(alone.asked)


def test_an_exception_of_an_attempt_ends_a_rollout_that_does_not_catch_it():
    def careless():
        yield Attempt(Attempts(lambda k: attempt(11, False), 1), 0)

    with pytest.raises(ValueError, match="11"):
        run_all([careless()], SlowEngine(1), 1)


def test_nothing_is_made_ahead_while_others_wait_to_begin():
    """Idle places go to rollouts that are needed for certain first: of 40, two at a time, only the last can be run ahead of."""

    def run(ahead):
        engine = SlowEngine(2)
        run_all((search(n, 6, 1, False) for n in range(40)), engine, 2, ahead=ahead)
        return engine

    assert 0 <= len(run(2).asked) - len(run(0).asked) <= 3
