"""The engine over completions servers: the same answers from every kind of server, through deaths, refusals and full houses."""

import gc
import logging
import sys
import threading
import time

import pytest

from scdpo.engines import addresses
from scdpo.engines.completions_api import SEEDS, read_answer, request_body
from scdpo.engines.interface import Generate
from scdpo.engines.pieces import Landmarks, Progress
from scdpo.engines.scripted import ScriptedEngine
from scdpo.engines.server_engine import ServerEngine
from scdpo.engines.settings import EngineSettings, ServerSettings
from scdpo.engines.temperature import TemperatureRamp
from scdpo.errors import ModelError, RecipeError
from scdpo.run.engine import open_engine
from scdpo.run.recipe import load_recipe
from scdpo.sampling.continuation import SamplingRules, continue_solution
from scdpo.sampling.driver import run_all
from tests.conftest import GREEDY
from tests.engines.stand_in import END, MARKS, StandIn, whole
from tests.engines.test_engines import run

PAPER = TemperatureRamp(1.1, 0.05, 1.4)
REQUESTS = [
    Generate((8, 9, n), PAPER if n % 3 else GREEDY, 30, seed=n, step=n % 4, stop=(lambda ids: len(ids) > 6) if n % 2 else None)
    for n in range(24)
]
WHOLE = [whole(request) for request in REQUESTS]


@pytest.fixture(autouse=True)
def short_rests(monkeypatch):
    monkeypatch.setattr(addresses, "FIRST_REST", 0.02)
    monkeypatch.setattr(addresses, "LONGEST_REST", 0.1)


@pytest.fixture
def serve():
    """Starts stand-in servers, and ends them."""
    servers = []

    def start(**options) -> StandIn:
        servers.append(StandIn(**options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def connect():
    """Opens engines over servers or addresses, and closes them."""
    engines = []

    def open_over(*servers, key=None, model="sft", marks=MARKS, **settings) -> ServerEngine:
        urls = tuple(server if isinstance(server, str) else server.address for server in servers)
        settings = ServerSettings(addresses=urls, **settings)
        engines.append(ServerEngine(settings, model, marks, 64, key, "vllm serve sft"))
        return engines[-1]

    yield open_over
    for engine in engines:
        engine.close()


@pytest.mark.parametrize("obeys", [True, False])
@pytest.mark.parametrize("spelling", ["token_ids", "token_id:", "content"])
def test_every_kind_of_server_gives_the_whole(serve, connect, spelling, obeys):
    """Ramps, stops, ends and lengths in vLLM's two spellings and llama.cpp's, with stop_token_ids obeyed and passed over."""
    server = serve(spelling=spelling, obeys=obeys)
    assert run(connect(server), REQUESTS) == WHOLE
    assert {completion.finish for completion in WHOLE} == {"end", "stop", "length"}


def test_what_is_asked(serve, connect):
    """Prompts as ids; every default that a server may have of its own; a seed of 31 bits, unless that is off."""
    server = serve()
    run(connect(server), [Generate((8, 9), TemperatureRamp.constant(0.7), 5, seed=2**63 + 5, top_p=0.9)])
    body = server.bodies[0]
    assert (body["model"], body["prompt"], body["max_tokens"]) == ("sft", [8, 9], 5)
    assert (body["temperature"], body["top_p"], body["top_k"], body["min_p"]) == (0.7, 0.9, -1, 0)
    assert body["seed"] == (2**63 + 5) % SEEDS == 5
    assert body["stop_token_ids"] == [END] and body["skip_special_tokens"] is False
    piece = Progress(Generate((8,), PAPER, 5, seed=3)).next_piece(MARKS)
    assert "seed" not in request_body(piece, "sft", send_seed=False)
    greedy = Progress(Generate((8,), GREEDY, 5, seed=3)).next_piece(MARKS)
    assert "seed" not in request_body(greedy, "sft", send_seed=True)


def test_a_server_that_gives_text_alone_is_refused(serve, connect):
    """Ids made from text would not be those that were generated; the message names servers that give them."""
    with pytest.raises(ModelError, match=r"without the ids of the tokens.*vLLM"):
        run(connect(serve(spelling="text")), REQUESTS)


def reply(ids, finish, generated, log_probs=None):
    listed = {"token_logprobs": log_probs or [-1.0] * len(ids), "tokens": []}
    return {
        "choices": [{"finish_reason": finish, "token_ids": ids, "logprobs": listed}],
        "usage": {"completion_tokens": generated},
    }


@pytest.mark.parametrize(
    ("answer", "ids", "finish"),
    [
        (reply([9, END], "stop", 2), (9, END), "stop"),
        (reply([9, 10], "stop", 3), (9, 10), "end"),  # the end id is counted and not shown
        (reply([9, 10], "stop", 2), (9, 10), "stop"),  # a stop that nobody asked for: generation goes on
        (reply([9, 10], "length", 2), (9, 10), "length"),
        (reply([9, 10], "length", 4), (), "length"),  # ids of a character of several tokens are missing
        (reply([9, END], "stop", 3), (), "length"),
    ],
)
def test_ids_are_counted(answer, ids, finish):
    """As many ids as the server says that it generated, or none of them can be trusted."""
    piece = Progress(Generate((8,), GREEDY, 20)).next_piece(MARKS)
    read = read_answer(answer, piece, MARKS.end_ids)
    assert (read.ids, read.finish) == (ids, finish)


@pytest.mark.parametrize("answer", [{}, [], {"choices": []}, {"error": "no"}, "text"])
def test_what_is_no_completion_is_refused(answer):
    piece = Progress(Generate((8,), GREEDY, 20)).next_piece(MARKS)
    with pytest.raises(ModelError, match="something else than a completion"):
        read_answer(answer, piece, MARKS.end_ids)
    with pytest.raises(ModelError, match="0 log-probs for 2 ids"):
        read_answer({"choices": [{"finish_reason": "stop", "token_ids": [9, 10]}]}, piece, MARKS.end_ids)


@pytest.mark.parametrize("trouble", [500, 503, 429, "drop"])
def test_trouble_that_passes_costs_no_result(serve, connect, trouble):
    """Every seventh request fails: with a server's error, a full server, a broken connection."""
    server = serve(trouble=lambda number: trouble if number % 7 == 0 else None)
    assert run(connect(server), REQUESTS) == WHOLE


def test_an_address_that_dies_and_returns(serve, connect):
    """Two addresses: one dies in the middle, the other goes on alone, the first comes back and is asked again."""
    first, second = serve(pause=0.005), serve(pause=0.005)
    engine = connect(first, second, in_flight=2)
    die_at(first, 8)
    assert run(engine, REQUESTS) == WHOLE
    asked = len(first.bodies)
    assert 0 < asked < len(second.bodies)
    first.start()
    wait_until(lambda: engine.addresses.places.qsize() == 4)  # all have rested
    assert run(engine, REQUESTS) == WHOLE
    assert len(first.bodies) > asked


def test_an_address_that_turns_to_another_model(serve, connect):
    """It fails once and lists another model from then on: nothing more is asked of it."""
    first, second = serve(trouble=lambda number: 503), serve()
    engine = connect(first, second, in_flight=1)
    first.models = ("scdpo",)
    assert run(engine, REQUESTS) == WHOLE
    assert len(first.bodies) == 1


def test_the_only_address_dies_and_returns(serve, connect, caplog):
    """Nobody answers for a while: it is said once, and all requests are answered in the end."""
    server = serve(pause=0.005)
    engine = connect(server, in_flight=4)
    die_at(server, 20, back_after=0.5)
    with caplog.at_level(logging.WARNING):
        assert run(engine, REQUESTS) == WHOLE
    assert ["no server has answered" in record.message for record in caplog.records] == [True]


def test_rests_grow(monkeypatch):
    """0.5 s, doubled each time, at most 30 s, for a server that is away for days too."""
    monkeypatch.undo()
    assert [addresses.rest_after(failures) for failures in (0, 1, 2, 5, 6, 5000)] == [0.5, 1, 2, 16, 30, 30]


def test_patience_ends(serve, connect):
    """Nobody answers any more: an error that says how to go on; the engine is as new once a server is back."""
    server = serve(trouble=lambda number: "drop" if number > 3 else None)
    engine = connect(server, patience=0.3)
    server.stop()
    with pytest.raises(ModelError, match="start the server and run the same command again"):
        run(engine, REQUESTS)
    server.trouble = lambda number: None
    server.start()
    assert run(engine, REQUESTS) == WHOLE


def test_an_address_that_never_has_room(serve, connect):
    """It lists its models and refuses every request with 429: patience ends too."""
    with pytest.raises(ModelError, match=r"no server has answered.*trouble 429"):
        run(connect(serve(trouble=lambda number: 429), patience=0.5), REQUESTS[:1])


def test_a_request_that_no_server_can_answer(serve, connect):
    """The server lives and fails on one request again and again: the request is given up, with what the server said."""
    with pytest.raises(ModelError, match=r"failed 8 times on one request \(status 500: trouble 500\)"):
        run(connect(serve(trouble=lambda number: 500)), REQUESTS[:1])
    slow = connect(serve(pause=0.2), timeout=0.05)
    with pytest.raises(ModelError, match=r"failed 8 times on one request \(no answer within 0.05 s\)"):
        run(slow, REQUESTS[:1])


def test_a_refused_request_ends_the_run_at_once(serve, connect):
    server = serve(trouble=lambda number: 400)
    with pytest.raises(ModelError, match=r"refuses a request \(status 400\): trouble 400"):
        run(connect(server), REQUESTS[:1])
    assert len(server.bodies) == 1


def test_as_many_in_flight_as_allowed(serve, connect):
    """Each address has in_flight requests at most, and as many where there is work."""
    servers = [serve(pause=0.03), serve(pause=0.03)]
    assert run(connect(*servers, in_flight=3), REQUESTS) == WHOLE
    assert [server.most_at_once for server in servers] == [3, 3]


def test_addresses_at_the_start(serve, connect):
    """An address that does not answer is dead for now; one that serves another model is not asked; one must serve ours."""
    other, ours = serve(models=("scdpo",)), serve()
    dead = serve()
    dead.stop()
    assert run(connect(other, dead, ours), REQUESTS[:4]) == WHOLE[:4]
    assert not other.bodies and ours.bodies
    with pytest.raises(ModelError, match=r'no server.*serves "sft".*scdpo.*no answer.*start one with: vllm serve sft'):
        connect(other, dead)


def test_a_key_goes_along(serve, connect):
    server = serve(key="sesame")
    assert run(connect(server, key="sesame"), REQUESTS[:2]) == WHOLE[:2]
    with pytest.raises(ModelError, match=r"asks for a key.*OPENAI_API_KEY"):
        connect(server)


@pytest.mark.parametrize("address", ["127.0.0.1:8000/v1", "ftp://127.0.0.1/v1"])
def test_a_misspelt_address(connect, address):
    with pytest.raises(ModelError, match="write it as http://host:port/v1"):
        connect(address)


def test_reset_forgets(serve, connect):
    """What was in flight is never heard of again; its tickets are free, and so are its places."""
    engine = connect(serve(pause=0.05), in_flight=2)
    for ticket, request in enumerate(REQUESTS):
        engine.submit(ticket, request)
    engine.reset()
    assert engine.advance() == []
    assert run(engine, REQUESTS[::-1]) == WHOLE[::-1]
    assert engine.addresses.places.qsize() == 2


def test_a_request_that_cannot_fit_is_refused(serve, connect):
    with pytest.raises(ModelError, match="exceed the engine's 64"):
        connect(serve()).submit(0, Generate((8,) * 50, GREEDY, 20))


def test_a_closed_engine_leaves_no_thread(serve, connect):
    before = threading.active_count()
    engine = connect(serve())
    engine.close()
    wait_until(no_engine_runs)
    assert threading.active_count() <= before + 1  # the stand-in's own


def test_an_engine_that_is_dropped_ends_in_silence(serve, caplog):
    """A run drops one model's engine for the next one's, while an address still rests."""
    dead, ours = serve(), serve()
    dead.stop()
    engine = ServerEngine(ServerSettings(addresses=(dead.address, ours.address)), "sft", MARKS, 64)
    del engine
    gc.collect()
    wait_until(no_engine_runs)
    gc.collect()
    assert not caplog.records


def test_rollouts_over_a_server(serve, connect, story_codec, story_problems):
    """Whole solutions, graded, are those of the scripted engine, with as many rollouts in flight as there are rows."""
    script = {}
    for problem in story_problems[:20]:
        prompt = story_codec.prompt(problem.question)
        ids = [id for step in story_codec.read(problem.solution) for id in step.ids]
        script[prompt] = (*ids, story_codec.end_id)

    def talk(ids, temperature):
        prompt = next(prompt for prompt in script if ids[: len(prompt)] == prompt)
        return script[prompt][len(ids) - len(prompt)]

    marks = Landmarks(frozenset({story_codec.end_id}), story_codec.step_end_ids, story_codec.stop_ids)
    rules = SamplingRules(story_codec, seed=1, max_new_tokens=120, context=256)
    rollouts = lambda: (continue_solution(p, (), PAPER, 1, rules) for p in story_problems[:20])  # noqa: E731
    server = serve(talk=talk, end_id=story_codec.end_id)
    engine = connect(server, marks=marks)
    engine.capacity = 256
    found = run_all(rollouts(), engine, 8)
    scripted = run_all(rollouts(), ScriptedEngine(lambda request: script[request.ids][:-1]), 8)
    assert [s.ids for s in found] == [s.ids for s in scripted]
    assert all(solution.verdict.is_correct for solution in found)
    assert len(server.bodies) > 20  # more pieces than solutions: the ramp rose


def test_a_recipe_names_its_servers():
    with pytest.raises(RecipeError, match=r"engine\.server.addresses is empty"):
        load_recipe("quickstart", {"engine.kind": "server"})


def test_a_run_opens_its_server(serve, story_codec, tmp_path, monkeypatch):
    """The model goes by the name of its folder; the cure starts a server for it; httpx may be missing."""
    server = serve(models=("scdpo",))
    settings = EngineSettings(kind="server", server=ServerSettings(addresses=(server.address,)))
    engine = open_engine(settings, tmp_path / "scdpo", story_codec, 256)
    assert engine.model == "scdpo"
    engine.close()
    with pytest.raises(ModelError, match=r'serves "sft".*vllm serve \S+/sft --served-model-name sft --max-model-len 256'):
        open_engine(settings, tmp_path / "sft", story_codec, 256)
    for module in ("server_engine", "addresses"):
        monkeypatch.delitem(sys.modules, f"scdpo.engines.{module}")
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(ModelError, match=r'pip install "scdpo\[server\]"'):
        open_engine(settings, tmp_path / "scdpo", story_codec, 256)


def die_at(server: StandIn, number: int, back_after: float | None = None) -> None:
    """Let the server die under its request of that number, and come back after so many seconds."""

    def trouble(asked: int) -> None:
        if asked == number:
            server.stop()
            if back_after is not None:
                threading.Timer(back_after, server.start).start()

    server.trouble = trouble


def no_engine_runs() -> bool:
    gc.collect()  # engines that failed to open
    return not any(thread.name == "scdpo-server-engine" for thread in threading.enumerate())


def wait_until(holds, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
