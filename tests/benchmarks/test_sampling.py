"""The benchmark of sampling: the peers answer as engines must, and the command measures what it says."""

import json

import pytest
import torch

from benchmarks.sampling.__main__ import main
from benchmarks.sampling.peers import BatchedGenerate, ContinuousBatching, best_settings
from benchmarks.sampling.shown import device_name
from scdpo.engines.interface import Generate
from scdpo.engines.temperature import TemperatureRamp
from scdpo.training.model_files import load_model
from tests.engines.test_engines import run

RAMP = TemperatureRamp(0.9, 0.2, 1.5)


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
    monkeypatch.setattr("benchmarks.sampling.peers.is_flash_attn_2_available", lambda: True)
    assert best_settings(torch.device("cuda"), 4, 64) == {"auto_switch_to_flash": True}


def test_the_command(story_model, tmp_path, capsys):
    """All ratios of the issue are in the file, for an untrained model by problems: it solves nothing."""
    file = tmp_path / "figures.json"
    words = f"--model {story_model} --data stories --shots 0 --problems 4 --samples 2 --attempts 2 --rows 4"
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
        ("--problems 1", "--problems: input should be greater than or equal to 2"),
        ("--batches 4 0", "--batches: input should be greater than 0"),
        ("--rows 0", "--rows: input should be greater than or equal to 1"),
        ("--json /nowhere/f.json", "no such folder to write the figures to"),
        ("--problems 4000 --data missing.jsonl", "missing.jsonl"),
    ],
)
def test_what_cannot_be_measured(story_model, words, message, capsys):
    assert main(["--model", str(story_model), *words.split()]) == 2
    assert message in capsys.readouterr().err
