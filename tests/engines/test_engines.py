"""The engines: equal to the library's own generation, unmoved by their company, ramps by step."""

import copy

import pytest
import torch

from scdpo.engines.interface import Generate
from scdpo.engines.scripted import ScriptedEngine
from scdpo.engines.temperature import TemperatureRamp
from scdpo.engines.transformers_engine import GRID, TransformersEngine
from scdpo.errors import ModelError
from scdpo.sampling.driver import run_all
from tests.conftest import DEVICE, GREEDY, on_processor

END, STEP_END = 2, 6
PAPER = TemperatureRamp(1.1, 0.05, 1.4)


def run(engine, requests: list[Generate]) -> list:
    """All completions, in the requests' order."""
    for ticket, request in enumerate(requests):
        engine.submit(ticket, request)
    done = {}
    while len(done) < len(requests):
        done |= dict(engine.advance())
    return [done[ticket] for ticket in range(len(requests))]


@pytest.fixture
def engine(tiny_model):
    return TransformersEngine(tiny_model, {END}, {STEP_END}, rows=4, capacity=64)


def prompts(count: int) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(5)
    sizes = torch.randint(1, 14, (count,), generator=generator).tolist()
    return [tuple(torch.randint(7, 70, (size,), generator=generator).tolist()) for size in sizes]


def test_greedy_equals_the_librarys_generate(engine, tiny_model):
    """More requests than rows, prompts of many lengths, all joined and left in the middle."""
    requests = [Generate(ids, GREEDY, 20) for ids in prompts(23)]
    for request, completion in zip(requests, run(engine, requests), strict=True):
        ids = torch.tensor([request.ids], device=DEVICE)
        options = {"max_new_tokens": 20, "do_sample": False, "eos_token_id": END, "pad_token_id": 0}
        theirs = tiny_model.generate(ids, attention_mask=torch.ones_like(ids), **options)[0, len(request.ids) :].tolist()
        ended = END in theirs
        assert list(completion.ids) == (theirs[: theirs.index(END)] if ended else theirs)
        assert completion.finish == ("end" if ended else "length")


def test_draws_depend_on_the_seed_alone(engine):
    """The same request gives the same ids alone, in company, and in another order (rounding apart, which is none here)."""
    requests = [Generate(ids, PAPER, 20, seed) for seed, ids in enumerate(prompts(12))]
    together = run(engine, requests)
    engine.reset()
    backwards = run(engine, requests[::-1])[::-1]
    alone = []
    for request in requests:
        engine.reset()
        alone.append(run(engine, [request])[0])
    assert [c.ids for c in together] == [c.ids for c in backwards] == [c.ids for c in alone]
    engine.reset()
    other = run(engine, [Generate(r.ids, PAPER, 20, r.seed + 100) for r in requests])
    assert [c.ids for c in other] != [c.ids for c in together]


def test_asking_the_same_prompt_again_gives_what_asking_anew_gives(engine):
    """Four samples of each prompt, asked one after the other (rows keep their prompts) and all at once."""
    asked = [[Generate(ids, PAPER, 12, 10 * index + k) for k in range(4)] for index, ids in enumerate(prompts(9))]
    apart = run(engine, [request for requests in asked for request in requests])
    engine.reset()

    def rollout(requests):
        completions = []
        for request in requests:
            completions.append((yield request))
        return completions

    in_turn = run_all((rollout(requests) for requests in asked), engine, 6)
    assert [c.ids for completions in in_turn for c in completions] == [c.ids for c in apart]


def test_samples_follow_the_models_distribution(tiny_model):
    """The first token of 4,000 draws at T = 1.3 against the softmax: within 5 standard errors for every token."""
    engine = TransformersEngine(tiny_model, {END}, {STEP_END}, rows=250, capacity=64)
    ids = prompts(1)[0]
    with torch.no_grad():
        expected = torch.softmax(tiny_model(input_ids=torch.tensor([ids], device=DEVICE)).logits[0, -1] / 1.3, -1).cpu()
    ramp = TemperatureRamp.constant(1.3)
    tokens = []
    for completion in run(engine, [Generate(ids, ramp, 1, seed) for seed in range(4000)]):
        tokens.append(END if completion.finish == "end" else completion.ids[0])
    seen = torch.bincount(torch.tensor(tokens), minlength=len(expected)) / len(tokens)
    error = (expected * (1 - expected) / len(tokens)).sqrt() + 1 / len(tokens)
    assert ((seen - expected).abs() < 5 * error).all()


def test_the_ramp_rises_with_each_step(engine):
    """Temperatures are those of the step that a token belongs to; a second line end in a row ends no other step."""
    for completion in run(engine, [Generate(ids, PAPER, 40, seed) for seed, ids in enumerate(prompts(8))]):
        step, inside = 0, False
        for id, temperature in zip(completion.ids, completion.temperatures, strict=True):
            assert temperature == pytest.approx(PAPER.at(step), abs=1e-6)
            if id == STEP_END:
                step, inside = step + inside, False
            else:
                inside = True


def test_log_probs_are_the_models(engine, tiny_model):
    request = Generate(prompts(3)[2], PAPER, 12, seed=4)
    (completion,) = run(engine, [request])
    ids = torch.tensor([[*request.ids, *completion.ids]], device=DEVICE)
    with torch.no_grad():
        log_probs = tiny_model(input_ids=ids).logits[0].log_softmax(-1)
    first = len(request.ids)
    expected = [log_probs[first + n - 1, id].item() for n, id in enumerate(completion.ids)]
    assert completion.log_probs == pytest.approx(expected, abs=1e-4)


def test_a_request_that_cannot_fit_is_refused(engine):
    with pytest.raises(ModelError, match="exceed the engine's 64"):
        engine.submit(0, Generate((7,) * 50, GREEDY, 20))
    with pytest.raises(ModelError, match="empty prompt"):
        engine.submit(0, Generate((), GREEDY, 20))


@pytest.mark.parametrize(("attention", "window", "message"), [("sdpa", 16, "looks back 16 tokens"), ("eager", None, '"eager"')])
def test_models_that_read_masks_otherwise_are_refused(tiny_model, attention, window, message):
    """A 4-D mask overrides a sliding window, and "eager" attention adds boolean masks: both would be wrong without a word."""
    model = copy.deepcopy(tiny_model)
    model.set_attn_implementation(attention)
    model.config.sliding_window = window
    with pytest.raises(ModelError, match=message):
        TransformersEngine(model, {END}, {STEP_END}, rows=4, capacity=64)


@pytest.mark.parametrize(("step", "temperature"), [(0, 1.1), (1, 1.15), (5, 1.35), (6, 1.4), (20, 1.4)])
def test_the_papers_ramp(step, temperature):
    """1.1 at the first generated step, +0.05 at each further one, at most 1.4 (section 3.1)."""
    assert PAPER.at(step) == pytest.approx(temperature)
    assert TemperatureRamp().at(step) == pytest.approx(temperature)


@pytest.mark.parametrize("values", [(-0.1, 0.1, 1.0), (1.2, 0.05, 1.0), (1.0, -0.1, 1.2)])
def test_a_ramp_only_rises(values):
    with pytest.raises(ValueError, match="a ramp rises"):
        TemperatureRamp(*values)


def test_the_scripted_engine_cuts_by_length():
    short, cut = run(ScriptedEngine(lambda request: (5, 6, 7)), [Generate((1,), GREEDY, 3), Generate((1,), GREEDY, 2)])
    assert (short.finish, cut.finish, cut.ids) == ("end", "length", (5, 6))


def turns(engine, ids, seed, given, rounds=3):
    """A rollout that stops at STEP_END ids and goes on with `given` put after, `rounds` times: its completions."""
    found = []
    for number in range(rounds):
        stop = lambda own: own[-1] == STEP_END  # noqa: E731
        completion = yield Generate(tuple(ids), PAPER, 12, seed + number, step=number, stop=stop)
        found.append(completion)
        if completion.finish != "stop":
            break
        ids = [*ids, *completion.ids, *given]
    return found


@pytest.mark.parametrize("given", [(9, 11, 13), (), tuple(range(10, 50))])
def test_going_on_behind_what_was_given(tiny_model, given):
    """Requests that stop, get some ids (few: their keys and values are kept; many: computed anew) and go on give what an engine
    that forgets everything between them gives, with more of them than there are rows and places to park."""
    with torch.no_grad():
        tiny_model.get_output_embeddings().weight[STEP_END] *= 3  # steps end often
    options = {"end_ids": {END}, "step_end_ids": {STEP_END}, "capacity": 256}
    kept = TransformersEngine(tiny_model, rows=4, stop_ids={STEP_END}, **options)
    together = run_all((turns(kept, ids, 10 * n, given) for n, ids in enumerate(prompts(15))), kept, 9)
    plain = TransformersEngine(tiny_model, rows=1, stop_ids={STEP_END}, **options)
    plain._park = lambda row, ids: None
    apart = [run_all([turns(plain, ids, 10 * n, given)], plain, 1)[0] for n, ids in enumerate(prompts(15))]
    assert [[c.ids for c in found] for found in together] == [[c.ids for c in found] for found in apart]
    assert [[c.temperatures for c in found] for found in together] == [[c.temperatures for c in found] for found in apart]
    assert any(len(found) == 3 for found in together)
    for found in together:
        for completion in found[:-1]:
            assert completion.finish == "stop" and completion.ids[-1] == STEP_END and STEP_END not in completion.ids[:-1]


class CountingEngine(TransformersEngine):
    """An engine that counts the tokens that its model computes."""

    computed = 0

    def _hidden(self, ids, positions, mask):
        self.computed += ids.numel()
        return super()._hidden(ids, positions, mask)


@on_processor  # elsewhere rows are rounded, and steps captured
@pytest.mark.parametrize("rows", [4, 16])
def test_a_prompt_that_is_shared_is_computed_once(tiny_model, rows):
    """100 tokens of worked examples before 12 questions, then forks at growing prefixes of the same solution: the shared tokens
    are computed once, and the completions are those of an engine that computes every prompt anew."""
    shots = tuple(torch.randint(7, 70, (100,), generator=torch.Generator().manual_seed(1)).tolist())
    asked = [Generate(shots + ids, PAPER, 12, seed) for seed, ids in enumerate(prompts(12))]
    asked += [Generate(shots + tuple(range(10, 10 + 8 * fork)), PAPER, 12, 50 + fork) for fork in range(1, 5)]
    engine = CountingEngine(tiny_model, {END}, {STEP_END}, rows=rows, capacity=256)
    together = run(engine, asked)
    own = sum(len(request.ids) - 100 for request in asked) + sum(len(completion.ids) + 1 for completion in together)
    assert engine.computed < 100 + 2.5 * own < sum(len(request.ids) for request in asked)
    alone = []
    for request in asked:
        engine.reset()
        alone.append(run(engine, [request])[0])
    assert [c.ids for c in together] == [c.ids for c in alone]


@on_processor
def test_a_rollout_that_forks_further_on_keeps_its_row(tiny_model):
    """Each request of a rollout continues the one before by some ids: only these are computed."""
    engine = CountingEngine(tiny_model, {END}, {STEP_END}, rows=1, capacity=256)
    solution = tuple(torch.randint(7, 70, (90,), generator=torch.Generator().manual_seed(2)).tolist())

    def forks():
        completions = []
        for length in range(50, 91, 10):
            completions.append((yield Generate(solution[:length], PAPER, 4, length)))
        return completions

    (kept,) = run_all([forks()], engine, 1)
    assert engine.computed <= 90 + 5 * (4 + 1)
    engine.reset()
    alone = [run(engine, [Generate(solution[:length], PAPER, 4, length)])[0] for length in range(50, 91, 10)]
    assert [c.ids for c in kept] == [c.ids for c in alone]


@on_processor
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_bfloat16_passes_are_of_few_widths(tiny_model, precision):
    """On a processor, where every other width would leave a kernel in memory; and what they are padded with changes nothing."""
    model = copy.deepcopy(tiny_model).to(precision)
    widths = set()
    model.get_decoder().register_forward_pre_hook(
        lambda _, args, kwargs: widths.add(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    engine = TransformersEngine(model, {END}, {STEP_END}, rows=4, capacity=64)
    requests = [Generate(ids, PAPER, 20, seed) for seed, ids in enumerate(prompts(12))]
    found = run(engine, requests)
    few = {width for width in widths if width == 1 or width % GRID == 0}
    assert len(widths) > 1 and (widths == few) == (precision == torch.bfloat16)
    if precision == torch.float32:
        engine.reset()
        engine.grid = GRID
        padded = run(engine, requests)
        assert [c.ids for c in padded] == [c.ids for c in found]
        for one, other in zip(padded, found, strict=True):
            assert one.log_probs == pytest.approx(other.log_probs, abs=1e-5)


def test_cancelled_requests_leave_the_others_as_they_are(engine):
    """Waiting, at work, or just finished: a cancelled request gives its place back and nobody else notices."""
    requests = [Generate(ids, PAPER, 20, seed) for seed, ids in enumerate(prompts(10))]
    expected = run(engine, requests)
    engine.reset()
    for ticket, request in enumerate(requests):
        engine.submit(ticket, request)
    done = {}
    for advance in range(200):
        if advance == 3:
            engine.cancel(0)
            engine.cancel(9)
        done |= dict(engine.advance())
    assert set(done) - {0} == set(range(1, 9))
    assert all(done[ticket].ids == expected[ticket].ids for ticket in range(1, 9))
    assert not engine.active and not engine.queue


def test_top_p_draws_only_likely_tokens(engine, tiny_model):
    """With top-p so small that one token is left, any seed gives the greedy completion; others beside it are not touched."""
    ids = prompts(2)[1]
    greedy, plain = run(engine, [Generate(ids, GREEDY, 10), Generate(ids, PAPER, 10, 3)])
    engine.reset()
    narrow, beside = run(engine, [Generate(ids, TemperatureRamp.constant(1.0), 10, 3, top_p=1e-6), Generate(ids, PAPER, 10, 3)])
    assert narrow.ids == greedy.ids and beside.ids == plain.ids


def test_no_place_to_park_is_lost(tiny_model):
    """A request that stopped and is asked anew, from its beginning, gives its place back."""
    engine = TransformersEngine(tiny_model, {END}, {STEP_END}, rows=8, capacity=64, stop_ids=range(3, 70))
    for seed in range(20):
        engine.submit(0, Generate((7, 8, 9), PAPER, 12, seed, stop=lambda ids: len(ids) == 2))
        while not engine.advance():
            pass
    assert len(engine.free_slots) + len(engine.parked) == len(engine.slots)


@on_processor
def test_a_store_that_grows_gives_what_a_whole_one_gives(tiny_model):
    """On a processor keys and values are held for as many places as rows have needed so far: what is drawn is what a store of
    full width from the start gives, and the places grow and are dropped with a block."""
    requests = [Generate(ids, PAPER, 100, seed) for seed, ids in enumerate(prompts(12))]
    tight, whole = (TransformersEngine(tiny_model, {END}, {STEP_END}, rows=4, capacity=256) for _ in range(2))
    whole.store.tight = False
    found, expected = run(tight, requests), run(whole, requests)
    assert [c.ids for c in found] == [c.ids for c in expected]
    longest = max(len(request.ids) + len(completion.ids) for request, completion in zip(requests, found, strict=True))
    assert 13 < tight.store.width <= longest * 9 / 8 + 1 < whole.store.width == 256
    tight.reset()
    assert tight.store.width == 0 and not tight.store.row_layers[0].is_initialized
    assert [c.ids for c in run(tight, requests)] == [c.ids for c in expected]
