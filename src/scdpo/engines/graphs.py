"""Steps as CUDA graphs: what a host asks for many times by hundreds of small calls, it asks for by one.

Knows functions that work in place on tensors at fixed addresses; knows no requests and no model.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Hashable

import torch

from scdpo.errors import first_line

Step = Callable[[], object]
WORTH_CAPTURING = 4
"""Times that a step must come before it is captured: a capture costs as much as some steps do, and many shapes come once."""


class Graphs:
    """Runs steps, and captures those that come often.

    capture: runs a step once, and returns what runs it again; an error of its own, and not of the step, is a CaptureFailed.
    """

    def __init__(self, capture: Callable[[Step], Step]) -> None:
        self.capture: Callable[[Step], Step] | None = capture
        self.captured: dict[Hashable, Step] = {}
        self.seen: Counter[Hashable] = Counter()

    def run(self, key: Hashable, step: Step) -> None:
        """Run a step. Steps of one key are the same calls on the same tensors, whatever the numbers in them."""
        replay = self.captured.get(key)
        if replay is not None:
            replay()
            return
        self.seen[key] += 1
        if self.capture is None or self.seen[key] < WORTH_CAPTURING:
            step()
            return
        try:
            self.captured[key] = self.capture(step)
        except CaptureFailed as failure:
            self.capture = None
            self.captured.clear()
            warnings.warn(f"steps of this model cannot be captured as CUDA graphs and run without ({failure})", stacklevel=2)


class CaptureFailed(Exception):
    """A step has run, and could not be captured."""


class CudaCapture:
    """Captures steps on a GPU, all with one pool of memory: they run one after the other, and nothing that a step makes is read
    after it. See https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Step) -> Step:
        """Run `step`, capture it, and return its replay. Raises CaptureFailed after the run.

        A step that asks the host is found out while it runs: a capture that fails leaves older torch's random numbers
        unusable. It is then run again, so it must not have changed anything before it asked.
        """
        outer = torch.cuda.current_stream(self.stream.device)
        self.stream.wait_stream(outer)
        mode = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("error")
        try:
            with torch.cuda.stream(self.stream):  # what libraries set up at a first call must not be captured
                step()
        except RuntimeError as error:
            torch.cuda.set_sync_debug_mode(mode)
            outer.wait_stream(self.stream)
            step()
            raise CaptureFailed(first_line(error)) from error
        finally:
            torch.cuda.set_sync_debug_mode(mode)
        outer.wait_stream(self.stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with (
                torch.cuda.stream(self.stream),  # a capture that fails does not give the stream back by itself
                torch.cuda.graph(graph, self.pool, self.stream, capture_error_mode="thread_local"),
            ):
                step()
        except RuntimeError as error:
            cause = error.__context__ or error  # the end of a broken capture is an error too
            raise CaptureFailed(first_line(cause)) from error
        return graph.replay
