"""Bursts: the host looks at the rows every few tokens only, and completions are those of a look at each token."""

import copy
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from scdpo.engines import transformers_engine
from scdpo.engines.attention import FOLDED, with_attention
from scdpo.engines.graphs import Graphs
from scdpo.engines.interface import Generate
from scdpo.engines.temperature import TemperatureRamp
from scdpo.engines.transformers_engine import BURST, TransformersEngine
from scdpo.errors import ModelError
from scdpo.sampling.driver import run_all
from tests.conftest import DEVICE, GREEDY
from tests.engines.test_engines import END, PAPER, STEP_END, prompts, run, turns
from tests.engines.test_graphs import Recorder

CAPACITY = 64
SHARED = tuple(range(20, 40))
STEP_ENDS = {STEP_END, *range(40, 60)}
RAMPS = (GREEDY, PAPER, TemperatureRamp.constant(1.0), TemperatureRamp(0.0, 0.4, 1.2))
STOPS = (None, lambda own: len(own) % 2 == 0, lambda own: False, lambda own: True)


def make_engine(model, burst: int, **options) -> TransformersEngine:
    return TransformersEngine(model, {END}, STEP_ENDS, **{"rows": 4, "capacity": CAPACITY, "burst": burst, **options})


def as_elsewhere(model, recorder: Recorder, burst: int = BURST, **options) -> TransformersEngine:
    """An engine that lays its steps out as off the processor, here with a stand-in for the capture."""
    engine = make_engine(model, burst, **options)
    engine.model, engine.has_few_shapes, engine.store.tight = with_attention(model, FOLDED), True, False
    engine.graphs = Graphs(recorder)
    return engine


@pytest.fixture
def few_widths(monkeypatch):
    """Widths on a grid of which several fit a small capacity."""
    monkeypatch.setattr(transformers_engine, "STEP_GRID", 16)


@pytest.fixture
def ending_model(tiny_model):
    """A model whose steps and solutions end often."""
    with torch.no_grad():
        tiny_model.get_output_embeddings().weight[[END, STEP_END]] *= 2
    return tiny_model


@st.composite
def requests(draw) -> Generate:
    ids = draw(st.sampled_from([(), SHARED])) + tuple(draw(st.lists(st.integers(7, 69), min_size=1, max_size=14)))
    return Generate(
        ids,
        draw(st.sampled_from(RAMPS)),
        draw(st.integers(1, 20)),
        draw(st.integers(0, 999)),
        draw(st.integers(0, 2)),
        draw(st.sampled_from(STOPS)),
        draw(st.sampled_from([1.0, 1.0, 0.7])),
    )


def finished(engine: TransformersEngine, asked: list[Generate], cancelled: dict[int, int]) -> dict:
    """The completions of all that is not cancelled; cancelled: ticket -> the advance before which."""
    engine.reset()
    for ticket, request in enumerate(asked):
        engine.submit(ticket, request)
    done = {}
    for advance in range(1000):
        for ticket in [ticket for ticket, when in cancelled.items() if when == advance]:
            engine.cancel(ticket)
        done |= dict(engine.advance())
        if not engine.active and not engine.queue:
            return {ticket: completion for ticket, completion in done.items() if ticket not in cancelled}
    raise AssertionError("rows that never end")


def check_equal(found, expected) -> None:
    """Ids, temperatures and reasons of the end are equal; log-probs to the rounding."""
    bare = lambda completion: replace(completion, log_probs=())  # noqa: E731
    assert [bare(completion) for completion in found] == [bare(completion) for completion in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.log_probs == pytest.approx(other.log_probs, abs=1e-5)


@pytest.fixture
def engines(ending_model, few_widths):
    """One that looks at each token, and others; kept over many examples, so that each finds what others left behind."""
    stop_ids = {STEP_END, *range(9, 40)}
    one, *others = (make_engine(ending_model, burst, stop_ids=stop_ids) for burst in (1, 2, 3, 8))
    return one, [*others, as_elsewhere(ending_model, Recorder(), stop_ids=stop_ids)]


FULL = Generate(tuple(range(7, 67)), PAPER, 4, 1)  # to the last place of a row


@given(asked=st.lists(requests(), min_size=1, max_size=9), cancelled=st.dictionaries(st.integers(0, 8), st.integers(0, 4)))
@example(asked=[FULL, Generate((7, 8), PAPER, 20, 2), Generate((7, 9, 11), GREEDY, 20)], cancelled={})
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
def test_a_burst_changes_nothing(engines, asked, cancelled):
    """Any mix of requests, more of them than rows: stops that hold and not, limits inside a burst, prompts read one by one."""
    first, others = engines
    expected = finished(first, asked, cancelled)
    for engine in others:
        found = finished(engine, asked, cancelled)
        assert found.keys() == expected.keys()
        check_equal([found[ticket] for ticket in sorted(found)], [expected[ticket] for ticket in sorted(found)])


@pytest.mark.parametrize("burst", [2, 3, 8])
@pytest.mark.parametrize("given_ids", [(9, 11, 13), tuple(range(10, 30))])
def test_parked_requests_go_on_behind_a_burst(ending_model, burst, given_ids):
    """Rollouts that stop, are given ids and go on: from their parked keys and values, with more of them than rows."""
    options = {"capacity": 256, "stop_ids": {STEP_END}}
    once, more = make_engine(ending_model, 1, **options), make_engine(ending_model, burst, **options)
    asked = list(enumerate(prompts(15)))
    expected = run_all((turns(once, ids, 10 * n, given_ids) for n, ids in asked), once, 9)
    found = run_all((turns(more, ids, 10 * n, given_ids) for n, ids in asked), more, 9)
    assert any(len(completions) == 3 for completions in expected)
    for one, other in zip(found, expected, strict=True):
        check_equal(one, other)


@pytest.mark.parametrize("tight", [True, False])
def test_keys_are_taken_over_from_who_takes_them_over(tiny_model, tight):
    """Admitted together: the second takes the shared beginning from the row at work, the third takes it from the second."""
    stem = SHARED + tuple(range(41, 50))
    asked = [Generate((*SHARED, 7), PAPER, 30, 1), Generate((*stem, 8), PAPER, 9, 2), Generate((*stem, 9, 10), PAPER, 9, 3)]
    engine = make_engine(tiny_model, 1)
    engine.store.tight = tight
    expected = [run(make_engine(tiny_model, 1), [request])[0] for request in asked]
    engine.submit(0, asked[0])
    done = dict(engine.advance())
    for ticket in (1, 2):
        engine.submit(ticket, asked[ticket])
    moves, move = [], engine.store.move
    engine.store.move = lambda wanted: (moves.append(wanted), move(wanted))
    while len(done) < 3:
        done |= dict(engine.advance())
    assert {1: (0, 20), 2: (0, 20)} in moves
    check_equal([done[ticket] for ticket in range(3)], expected)


@pytest.mark.parametrize("burst", [1, 8])
def test_a_row_that_is_kept_may_move(tiny_model, burst):
    """Two rows end together: the first is done, and the second is asked again and moves into its place."""
    asked = [Generate((*SHARED, 7 + n), GREEDY, 6, n) for n in range(3)]
    expected = [run(make_engine(tiny_model, 1), [request])[0] for request in asked]
    engine = make_engine(tiny_model, burst)

    def rollout(requests):
        found = []
        for request in requests:
            found.append((yield request))
        return found

    ((first,), (second, third)) = run_all((rollout(requests) for requests in (asked[:1], asked[1:])), engine, 2)
    check_equal([first, second, third], expected)


def test_a_burst_is_fewer_advances(tiny_model):
    """20 tokens in bursts of 8 are three advances, and a burst ends with the last row that can go on."""
    request = Generate((7,), GREEDY, 20)
    (expected,) = run(make_engine(tiny_model, 1), [request])
    for burst, advances in ((1, 20), (8, 3), (64, 1)):
        engine = make_engine(tiny_model, burst)
        engine.graphs = None  # a replay is not a call
        engine.submit(0, request)
        steps, step = [], engine._step
        engine._step = lambda shape, step=step, steps=steps: (steps.append(shape), step(shape))
        found = [engine.advance() for _ in range(advances)]
        assert [len(done) for done in found] == [0] * (advances - 1) + [1] and len(steps) == 20
        check_equal([found[-1][0][1]], [expected])


def test_reset_leaves_nothing_behind_a_burst(ending_model, few_widths):
    """An engine that is reset in the middle of its work, rows frozen and parked, gives what a new one gives."""
    asked = [Generate(ids, PAPER, 20, seed, stop=STOPS[seed % 4]) for seed, ids in enumerate(prompts(12))]
    for make in (lambda: make_engine(ending_model, 8, stop_ids={STEP_END}), lambda: as_elsewhere(ending_model, Recorder())):
        new, used = make(), make()
        expected = run(new, asked)
        for seed, request in enumerate(asked):
            used.submit(seed, replace(request, seed=seed + 100))
        used.advance()
        used.advance()
        addresses = [held.data_ptr() for held in (used.state.ids, used.state.counts, used.state.flags)]
        used.reset()
        assert [held.data_ptr() for held in (used.state.ids, used.state.counts, used.state.flags)] == addresses
        assert run(used, asked) == expected


def test_a_reset_store_stays_where_it_is_off_the_processor(tiny_model):
    """What was captured reads and writes these addresses."""
    engine = as_elsewhere(tiny_model, Recorder())
    run(engine, [Generate((7, 8, 9), PAPER, 10)])
    (layer, *_) = engine.store.row_layers
    address = layer.keys.data_ptr()
    assert layer.keys.any()
    engine.reset()
    assert layer.keys.data_ptr() == address and not layer.keys.any() and engine.store.width == CAPACITY


def test_steps_off_the_processor_have_few_shapes(tiny_model, few_widths):
    """Rows in powers of two and no more than there are, widths on a grid; what is drawn counts, and nothing that it hides."""
    recorder = Recorder()
    engine = as_elsewhere(tiny_model, recorder, rows=6)
    shapes, step = set(), engine._step
    engine._step = lambda shape: (shapes.add(shape), step(shape))
    asked = [Generate(ids, PAPER, 20, seed) for seed, ids in enumerate(prompts(23))]
    check_equal(run(engine, asked), run(make_engine(tiny_model, 1, rows=6), asked))
    assert {shape.rows for shape in shapes} <= {1, 2, 4, 6} and 6 in {shape.rows for shape in shapes}
    assert {shape.width for shape in shapes} == {16, 32, 48}
    assert len({(shape.has_top_p, shape.any_greedy, shape.any_drawn) for shape in shapes}) == 1
    assert recorder.captures == len(engine.graphs.captured) > 2 and recorder.replays > 20
    shapes.clear()
    run(engine, [replace(request, temperature=GREEDY, top_p=0.5) for request in asked[:2]])
    assert {(shape.has_top_p, shape.any_greedy, shape.any_drawn) for shape in shapes} == {(False, True, False)}


def test_results_are_the_same_where_no_capture_works(tiny_model, few_widths):
    asked = [Generate(ids, PAPER, 20, seed) for seed, ids in enumerate(prompts(23))]
    failing = as_elsewhere(tiny_model, Recorder(fails=True))
    with pytest.warns(UserWarning, match="cannot be captured") as said:
        found = run(failing, asked)
    assert len(said) == 1
    assert found == run(as_elsewhere(tiny_model, Recorder()), asked)


class NoHostReads(TorchDispatchMode):
    """Raises where the host asks the device for a number, a place, or a copy."""

    ASKING = ("_local_scalar_dense", "nonzero", "item", "masked_select", "is_nonzero", "equal", "_unique2", "unique_dim")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.split("::")[1]
        assert name not in self.ASKING, f"the host asks by {name}"
        if name in ("index", "index_put", "index_put_"):
            assert all(held is None or held.dtype != torch.bool for held in args[1]), "a mask as an index"
        made = func(*args, **(kwargs or {}))
        if name in ("_to_copy", "copy_") and DEVICE != "cpu":
            held = [tensor for tensor in (*args, made) if isinstance(tensor, torch.Tensor)]
            assert all(tensor.device.type != "cpu" for tensor in held), "a copy to or from the host"
        return made


@contextmanager
def waiting_forbidden():
    """On CUDA, torch itself says where a call waits for the device."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("elsewhere", [False, True])
def test_nothing_is_asked_of_the_device_within_a_burst(ending_model, elsewhere):
    """Neither in steps that draw, with top-p and without, nor where rows end; capturing apart, which waits by its nature."""
    options = {"stop_ids": {STEP_END}, "burst": 8}
    engine = as_elsewhere(ending_model, Recorder(), **options) if elsewhere else make_engine(ending_model, **options)
    engine.graphs = None
    guarded, burst = [], engine._burst

    def watched():
        with NoHostReads(), waiting_forbidden() if DEVICE.startswith("cuda") else nullcontext():
            burst()
        guarded.append(len(engine.active))

    engine._burst = watched
    asked = [Generate(ids, RAMPS[n % 4], 20, n, stop=STOPS[n % 4]) for n, ids in enumerate(prompts(12))]
    asked = [replace(request, top_p=0.8) if n % 3 == 0 else request for n, request in enumerate(asked)]
    assert len(run(engine, asked)) == 12 and len(guarded) > 4
    with pytest.raises(AssertionError, match="the host asks"), NoHostReads():
        int(torch.ones(2).sum())


def test_only_a_look_waits(tiny_model):
    """On torch's device without numbers, where every question of the host is an error: prompts, moves and bursts ask none."""
    engine = make_engine(copy.deepcopy(tiny_model).to("meta", torch.bfloat16), BURST, stop_ids={STEP_END})
    look, engine.state.look = engine.state.look, lambda count: None
    for ticket, ids in enumerate(prompts(12)):
        engine.submit(ticket, Generate(SHARED * (ticket % 2) + ids, RAMPS[ticket % 4], 20, top_p=0.9))
    assert engine.advance() == []
    for ticket in (1, 2):
        engine.cancel(ticket)
    assert engine.advance() == [] and len(engine.active) == 4
    engine.state.look = look
    with pytest.raises(NotImplementedError, match="meta tensor"):
        engine.advance()


def test_a_burst_of_nothing_is_refused(tiny_model):
    with pytest.raises(ModelError, match="a burst of 0 tokens"):
        make_engine(tiny_model, 0)
