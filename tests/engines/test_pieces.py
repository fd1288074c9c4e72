"""Requests in pieces: however an engine's answers cut the stream of ids, the completion is that of the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scdpo.engines.interface import Generate
from scdpo.engines.pieces import Answer, Landmarks, Piece, Progress
from scdpo.engines.temperature import TemperatureRamp
from scdpo.solutions.step_count import steps_before
from tests.conftest import GREEDY
from tests.engines.stand_in import END, MARKS, STEP_END, STEP_END_TOO, STOP, log_prob, speak, whole

PAPER = TemperatureRamp(1.1, 0.05, 1.4)
RAMPING = Landmarks(MARKS.end_ids, MARKS.step_end_ids, MARKS.stop_ids, ramps=True)
REQUESTS = st.builds(
    Generate,
    ids=st.lists(st.integers(8, 99), min_size=1, max_size=4).map(tuple),
    temperature=st.sampled_from([PAPER, GREEDY, TemperatureRamp.constant(1.0), TemperatureRamp(0.0, 0.3, 0.7)]),
    max_new_tokens=st.integers(1, 60),
    seed=st.integers(0, 2**64 - 1),
    step=st.integers(0, 8),
    stop=st.sampled_from([None, lambda ids: True, lambda ids: len(ids) > 9, lambda ids: len(ids) % 2 == 0]),
)


def draw(piece: Piece, count: int, obeys: bool, ramp: TemperatureRamp | None = None) -> Answer:
    """At most `count` ids for a piece, as an engine draws them that stops at stop_ids or not, with a ramp of its own or not."""
    ids: list[int] = []
    log_probs: list[float] = []
    step, inside = piece.step, piece.inside
    while len(ids) < min(count, piece.max_new_tokens):
        behind = (*piece.ids, *ids)
        ids.append(speak(behind, piece.temperature if ramp is None else round(ramp.at(step), 6)))
        log_probs.append(log_prob(behind, ids[-1]))
        step += inside and ids[-1] in MARKS.step_end_ids
        inside = ids[-1] not in MARKS.step_end_ids
        if ids[-1] == END or (obeys and ids[-1] in piece.stop_ids):
            break
    return Answer(tuple(ids), tuple(log_probs), "length" if len(ids) == piece.max_new_tokens else "stop")


@given(REQUESTS, st.lists(st.integers(1, 30), min_size=1), st.booleans())
def test_any_split_of_the_stream_gives_the_whole(request, counts, obeys):
    """Answers of any length, from engines that obey the stop ids and from those that run over them."""
    progress, turn = Progress(request), 0
    while isinstance(progress, Progress):
        progress = progress.take(draw(progress.next_piece(MARKS), counts[turn % len(counts)], obeys), MARKS)
        turn += 1
    assert progress == whole(request)


@given(REQUESTS, st.booleans())
def test_an_engine_that_ramps_needs_pieces_for_stop_alone(request, obeys):
    """A piece tells such an engine the step that it begins in, so that the temperatures go on as in one call."""
    progress, turns = Progress(request), 0
    while isinstance(progress, Progress):
        piece = progress.next_piece(RAMPING)
        assert piece.stop_ids == (MARKS.end_ids | MARKS.stop_ids if request.stop else MARKS.end_ids)
        progress = progress.take(draw(piece, 60, obeys, request.temperature), RAMPING)
        turns += 1
    assert progress == whole(request)
    assert request.stop is not None or turns == 1


@pytest.mark.parametrize(
    ("ramp", "step", "ends_pieces"),
    [(PAPER, 0, True), (PAPER, 5, True), (PAPER, 6, False), (GREEDY, 0, False), (TemperatureRamp.constant(1.0), 3, False)],
)
def test_steps_end_pieces_while_the_temperature_rises(ramp, step, ends_pieces):
    """The paper's ramp reaches 1.4 at step 6: (1.4 - 1.1) / 0.05."""
    piece = Progress(Generate((8,), ramp, 20, step=step)).next_piece(MARKS)
    assert (STEP_END in piece.stop_ids) == ends_pieces
    assert STOP not in piece.stop_ids and END in piece.stop_ids


def test_each_piece_has_a_seed_of_its_own():
    """A server with one seed for all pieces would draw the same numbers at the start of each."""
    request = Generate((8,), PAPER, 20, seed=7)
    seeds = [Progress(request, (9,) * n, (0.0,) * n).next_piece(MARKS).seed for n in range(5)]
    other = Progress(Generate((8,), PAPER, 20, seed=8), (9,), (0.0,)).next_piece(MARKS).seed
    assert seeds[0] == 7 and len({*seeds, other}) == 6


def test_an_end_that_the_ids_do_not_show():
    """Some servers leave the end-of-sequence id out and only say that it came."""
    done = Progress(Generate((8,), GREEDY, 20)).take(Answer((9, 10), (-1.0, -2.0), "end"), MARKS)
    assert (done.ids, done.finish) == ((9, 10), "end")


@pytest.mark.parametrize("ids", [(9, 10), ()])
def test_an_engine_that_can_hold_no_more(ids):
    """A server's own context ends before max_new_tokens: cut by length, and never asked for the same again."""
    done = Progress(Generate((8,), GREEDY, 20)).take(Answer(ids, (-1.0,) * len(ids), "length"), MARKS)
    assert (done.ids, done.finish) == (ids, "length")


@pytest.mark.parametrize(
    ("ids", "counts"),
    [
        ((), [0]),
        ((8, STEP_END, 9, STEP_END), [0, 0, 1, 1, 2]),
        ((8, STEP_END, STEP_END_TOO, 9, STEP_END), [0, 0, 1, 1, 1, 2]),
        ((STEP_END, STEP_END, 8), [0, 0, 0, 0]),
    ],
)
def test_step_ends_in_a_row_count_once(ids, counts):
    assert steps_before(ids, MARKS.step_end_ids) == counts
