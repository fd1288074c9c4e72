"""`scdpo bench sampling` and `growth`: the peers answer as engines must, and the commands measure what they say."""

import json
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from scdpo.bench.growth import Cost, Setting, own_memory, picture, settings_of
from scdpo.bench.sampling_peers import BatchedGenerate, ContinuousBatching, best_settings
from scdpo.cli.bench_sampling import device_name
from scdpo.cli.main import main
from scdpo.engines.interface import Generate
from scdpo.engines.temperature import TemperatureRamp
from scdpo.training.model_files import load_model, save_model
from scdpo.training.scratch import make_model
from scdpo.training.settings import ModelSettings
from tests.engines.test_engines import run

RAMP = TemperatureRamp(0.9, 0.2, 1.5)


@pytest.fixture(scope="module")
def story_model(story_tokenizer, tmp_path_factory):
    """An untrained model that knows the stories' words, as a folder."""
    folder = tmp_path_factory.mktemp("model") / "sft"
    settings = ModelSettings(width=32, layers=2, heads=2, feed_forward=64, context=256)
    save_model(make_model(settings, story_tokenizer, 1), story_tokenizer, folder, "untrained")
    return folder


@pytest.mark.parametrize("a_step", [False, True])
def test_generate_as_an_engine(story_model, story_codec, a_step):
    """Temperatures follow the steps in both ways, and a request gets no more than it asked for; nothing of its padding."""
    engine = BatchedGenerate(load_model(story_model), {story_codec.end_id}, story_codec.step_end_ids, 3, a_step)
    requests = [Generate(tuple(range(5, 8 + n)), RAMP, 20 + n, n) for n in range(7)]
    for request, completion in zip(requests, run(engine, requests), strict=True):
        assert len(completion.ids) == request.max_new_tokens or completion.finish == "end"
        steps = 0
        inside = False
        for id, temperature in zip(completion.ids, completion.temperatures, strict=True):
            assert temperature == pytest.approx(RAMP.at(steps))
            ends = id in story_codec.step_end_ids
            steps, inside = steps + (ends and inside), not ends


def test_generate_draws_at_the_ramps_temperature(story_model, story_codec):
    """The first token of 3,000 requests at T = 1.5 against the softmax: within 5 standard errors."""
    model = load_model(story_model)
    engine = BatchedGenerate(model, {story_codec.end_id}, story_codec.step_end_ids, 1000, False)
    drawn = [
        c.ids[0] if c.ids else story_codec.end_id
        for c in run(engine, 3000 * [Generate((5, 6, 7), TemperatureRamp.constant(1.5), 1)])
    ]
    with torch.no_grad():
        expected = torch.softmax(model(torch.tensor([[5, 6, 7]])).logits[0, -1] / 1.5, -1)
    seen = torch.bincount(torch.tensor(drawn), minlength=len(expected)) / 3000
    assert ((seen - expected).abs() < 5 * ((expected * (1 - expected) / 3000).sqrt() + 1 / 3000)).all()


def test_continuous_batching_as_an_engine(story_model, story_codec):
    engine = ContinuousBatching(load_model(story_model), {story_codec.end_id}, story_codec.step_end_ids, 4, 64)
    try:
        completions = run(engine, [Generate(tuple(range(5, 8 + n)), RAMP, 12, n) for n in range(9)])
    finally:
        engine.stop()
    assert all(len(c.ids) == 12 or c.finish == "end" for c in completions)


def test_continuous_batching_is_let_do_its_best_on_a_gpu(monkeypatch):
    """Graphs and batches ahead are its own choice there, and with flash attention so are its pages."""
    chosen = {"use_cuda_graph", "use_async_batching"}
    assert chosen <= best_settings(torch.device("cpu"), 4, 64).keys()
    plain = best_settings(torch.device("cuda"), 4, 64)
    assert not chosen & plain.keys() and plain["num_blocks"] == 16 and not plain["auto_switch_to_flash"]
    monkeypatch.setattr("scdpo.bench.sampling_peers.is_flash_attn_2_available", lambda: True)
    assert best_settings(torch.device("cuda"), 4, 64) == {"auto_switch_to_flash": True}


def test_the_command(story_model, tmp_path, capsys):
    """All ratios of the issue are in the file, for an untrained model by problems: it solves nothing."""
    file = tmp_path / "figures.json"
    words = f"bench sampling --model {story_model} --data stories --shots 0 --problems 4 --samples 2 --attempts 2 --rows 4"
    words += f" --batches 2 4 --max-new-tokens 80 --threads 1 --json {file}"
    assert main(words.split()) == 0
    figures = json.loads(file.read_text())
    expected = {f"{work}_vs_{peer}" for work in ("naive", "fork") for peer in ("generate", "continuous")}
    assert set(figures["ratio"]) == expected | {"fork_vs_call_per_step"} and min(figures["ratio"].values()) > 0
    assert set(figures["ratio_by"].values()) == {"problems a minute"}
    fork = figures["fork"]
    assert fork["generate"]["batch"] in (2, 4) and fork["call_per_step"]["batch"] == fork["generate"]["batch"]
    assert all(side["requests"] >= 1 and side["tokens"] > 0 for side in fork.values())
    assert 0 < figures["share_of_bound"]["fork"] < 1
    assert figures["device"] == device_name()
    out = capsys.readouterr().out
    assert "one call a step" in out and f"float32 on {device_name()}" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--problems 1", "--problems, --batches and --shots: too small"),
        ("--rows 0", "--rows: too small"),
        ("--json /nowhere/f.json", "no such folder to write the figures to"),
        ("--problems 4000 --data missing.jsonl", "missing.jsonl"),
    ],
)
def test_what_cannot_be_measured(story_model, words, message, capsys):
    assert main(["bench", "sampling", "--model", str(story_model), *words.split()]) == 2
    assert message in capsys.readouterr().err


def test_growth_varies_one_thing_at_a_time():
    series = settings_of(100, 2)
    assert [s.problems for s in series["problems"]] == [100, 300, 1000]
    assert [(s.problems, s.forks) for s in series["forks"]] == [(100, 1), (100, 2), (100, 4)]
    assert [(s.problems, s.workers) for s in series["workers"]] == [(300, 1), (300, 2)]


def test_the_picture_of_growth_shows_its_numbers():
    costs = {name: [Cost(s, 10.0 * s.problems, 321.0, 1, 1, 1) for s in series] for name, series in settings_of(100, 2).items()}
    root = ElementTree.fromstring(picture(costs))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"10,000", "321", "memory (MB) by problems"} <= set(texts)


def test_memory_of_a_process_that_is_gone():
    assert own_memory(2**22 - 1) == 0.0 and Setting(1) == Setting(1, 1, 1)
