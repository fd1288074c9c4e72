"""Steps that come often are captured once and replayed; nothing else changes, whatever a capture does."""

import warnings
from contextlib import nullcontext
from unittest.mock import MagicMock

import pytest
import torch

from scdpo.engines.graphs import WORTH_CAPTURING, CaptureFailed, CudaCapture, Graphs
from tests.conftest import DEVICE


class Recorder:
    """Stands in for a capture: runs the step, and remembers it as what is to be replayed."""

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.captures, self.replays = fails, 0, 0

    def __call__(self, step):
        step()
        if self.fails:
            raise CaptureFailed("the host was asked")
        self.captures += 1

        def replay():
            self.replays += 1
            step()

        return replay


def test_every_call_runs_the_step_once():
    """Plainly at first, then while it is captured, then by replay; keys do not touch each other."""
    recorder, runs = Recorder(), {"often": 0, "once": 0}
    graphs = Graphs(recorder)

    def step(key):
        runs[key] += 1

    for _ in range(10):
        graphs.run("often", lambda: step("often"))
    graphs.run("once", lambda: step("once"))
    assert runs == {"often": 10, "once": 1}
    assert (recorder.captures, recorder.replays) == (1, 10 - WORTH_CAPTURING) and set(graphs.captured) == {"often"}


def test_a_capture_that_fails_is_said_once_and_not_tried_again():
    recorder, runs = Recorder(), []
    graphs = Graphs(recorder)
    for _ in range(WORTH_CAPTURING):
        graphs.run("fine", lambda: runs.append("fine"))
    recorder.fails = True
    with pytest.warns(UserWarning, match="cannot be captured as CUDA graphs.*the host was asked"):
        for _ in range(WORTH_CAPTURING):
            graphs.run("odd", lambda: runs.append("odd"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for key in ("fine", "odd", "third"):
            for _ in range(WORTH_CAPTURING):
                graphs.run(key, lambda key=key: runs.append(key))
    assert [runs.count(key) for key in ("fine", "odd", "third")] == [2 * WORTH_CAPTURING, 2 * WORTH_CAPTURING, WORTH_CAPTURING]
    assert recorder.captures == 1 and recorder.replays == 0 and not graphs.captured


def test_an_error_of_the_step_is_an_error():
    graphs = Graphs(Recorder())
    with pytest.raises(ZeroDivisionError):
        for _ in range(WORTH_CAPTURING):
            graphs.run("broken", lambda: 1 // (graphs.seen["broken"] < WORTH_CAPTURING))


@pytest.mark.skipif(not DEVICE.startswith("cuda"), reason="needs a CUDA device")
def test_cuda_steps_are_captured_and_failures_leave_the_device_usable():
    held = torch.zeros(3, device=DEVICE)
    graphs = Graphs(CudaCapture(held.device))
    for _ in range(10):
        graphs.run("adds", lambda: held.add_(1))
    assert held.tolist() == [10.0] * 3 and set(graphs.captured) == {"adds"}
    stream = torch.cuda.current_stream()
    with pytest.warns(UserWarning, match="cannot be captured"):
        for _ in range(WORTH_CAPTURING):
            graphs.run("asks", lambda: held.add_(held.sum().item()))
    assert torch.cuda.current_stream() == stream
    graphs.run("adds", lambda: held.add_(1))
    assert torch.isfinite(held).all() and torch.randn(2, device=DEVICE).shape == (2,)


def test_a_step_that_asks_the_host_is_never_captured(monkeypatch):
    """With a stand-in for torch.cuda: the warm-up finds it out, it runs anew without, and no capture begins, because one that
    fails leaves older torch's random numbers unusable."""
    modes, begun, runs = [0], [], []
    cuda = {
        "Stream": lambda device: MagicMock(),
        "graph_pool_handle": lambda: None,
        "current_stream": lambda device=None: MagicMock(),
        "stream": lambda stream: nullcontext(),
        "get_sync_debug_mode": lambda: modes[-1],
        "set_sync_debug_mode": modes.append,
        "graph": lambda *args, **options: begun.append(args) or nullcontext(),
        "CUDAGraph": MagicMock,
    }
    for name, stand_in in cuda.items():
        monkeypatch.setattr(torch.cuda, name, stand_in, raising=False)

    def asks():
        if modes[-1] == "error":
            raise RuntimeError("called a synchronizing CUDA operation")
        runs.append("asks")

    capture = CudaCapture(torch.device("cuda"))
    with pytest.raises(CaptureFailed, match="synchronizing"):
        capture(asks)
    assert runs == ["asks"] and not begun and modes[-1] == 0
    capture(lambda: runs.append("fine"))
    assert runs == ["asks", "fine", "fine"] and len(begun) == 1 and modes[-1] == 0
