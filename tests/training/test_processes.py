"""Several processes on one training, over gloo: the updates of one."""

import os
import subprocess
import sys

import pytest

from tests.training.conftest import same, weights

SCRIPT = """
import pickle, sys
from pathlib import Path
from accelerate import PartialState
from scdpo.solutions.codec import Codec
from scdpo.training.model_files import load_tokenizer
from scdpo.training.train import train_preference
base, job, out = sys.argv[1:]
trees, questions, settings, training = pickle.loads(Path(job).read_bytes())
codec = Codec(load_tokenizer(base))
training = type(training)(training.name, Path(out) / "m", Path(out) / "m.jsonl", training.seed, {})
train_preference(Path(base), trees, questions, codec, settings, 256, Path(out) / "cache", training)
(Path(out) / "processes").write_text(str(PartialState().num_processes))
"""


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_two_processes_give_the_updates_of_one(lora_rank, base, trees, questions, tmp_path):
    """accelerate launch with two CPU processes, steps of one tree (which leaves a process without work) and of several."""
    import pickle

    from scdpo.training.settings import LoraSettings, PreferenceSettings
    from tests.training.conftest import training

    settings = PreferenceSettings(
        beta=0.5, lr=1e-3, epochs=1, batch=7, threads=1, tokens_per_micro_batch=150, lora=LoraSettings(rank=lora_rank)
    )
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "job.pickle").write_bytes(pickle.dumps((trees[:9], questions, settings, training(tmp_path))))
    for count in (1, 2):
        several = ["--multi_gpu"] if count > 1 else []  # what accelerate calls it; without a GPU it takes gloo
        launcher = ["-m", "accelerate.commands.launch", *several, "--num_processes", str(count), "--num_machines", "1"]
        launcher += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
        words = [str(tmp_path / "train.py"), str(base), str(tmp_path / "job.pickle"), str(tmp_path / str(count))]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, *launcher, *words], env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        assert (tmp_path / str(count) / "processes").read_text() == str(count)
    one, two = (weights(tmp_path / str(count) / "m") for count in (1, 2))
    assert same(one, two, tolerance=2e-5)
    assert not same(weights(base), one, tolerance=1e-4)
    logs = [(tmp_path / str(count) / "m.jsonl").read_text().count("\n") for count in (1, 2)]
    assert logs[0] == logs[1]
