"""Weights sharded over two processes, as FSDP does it: the gradients of the whole model."""

import os
import subprocess
import sys
from pathlib import Path


def test_sharded_weights_give_the_same_gradients():
    """Two CPU processes over gloo; with the logits of all tokens at once and in chunks that are computed again; in bfloat16
    with log-probs and sums of gradients in float32."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    done = subprocess.run(
        [*command, "tests.training.sharded"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    differences = dict(line.split(": ") for line in done.stdout.splitlines() if line.startswith(("float32:", "bfloat16:")))
    assert float(differences["float32"]) < 1e-6
    assert 1e-6 < float(differences["bfloat16"]) < 0.25, "rounded products, the same sums"
