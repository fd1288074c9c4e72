"""The sides of the sampling benchmark: opens the engines to compare. Knows no problems."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.sampling.measure import Work
from scdpo.engines.interface import Engine
from scdpo.engines.pieces import Landmarks
from scdpo.precision import Precision
from scdpo.solutions.codec import Codec
from scdpo.training.model_files import save_model

Peer = Literal["generate", "call_per_step", "continuous", "vllm"]
OURS, GENERATE, CALL_PER_STEP, CONTINUOUS, VLLM = "scdpo", "generate", "call_per_step", "continuous", "vllm"
NAMES = {
    OURS: "scdpo",
    GENERATE: "transformers generate",
    CALL_PER_STEP: "one call a step",
    CONTINUOUS: "transformers continuous batching",
    VLLM: "vLLM in process",
}


@dataclass(frozen=True, slots=True)
class Sides:
    """What all engines share: model, tokenizer, codec, precision, requests at once, tokens of the longest; and the peers asked
    for."""

    model: Any
    tokenizer: Any
    codec: Codec
    precision: Precision
    rows: int
    capacity: int
    asked: tuple[Peer, ...]

    def peers(self, work: Work) -> list[str]:
        """The peers that can do the work and are there; vLLM last, because it binds the process to its cores."""
        wanted = [peer for peer in (GENERATE, CALL_PER_STEP, CONTINUOUS, VLLM) if peer in self.asked]
        return [
            peer
            for peer in wanted
            if (peer != CALL_PER_STEP or work == "fork") and (peer != VLLM or importlib.util.find_spec("vllm"))
        ]

    @contextmanager
    def open(self, side: str, batch: int = 0) -> Iterator[Engine]:
        from benchmarks.sampling.peers import BatchedGenerate, ContinuousBatching
        from scdpo.engines.transformers_engine import TransformersEngine

        rows, ends, step_ends = self.rows, self.codec.end_ids, self.codec.step_end_ids
        if side == OURS:
            yield TransformersEngine(self.model, ends, step_ends, rows, self.capacity)
        elif side in (GENERATE, CALL_PER_STEP):
            yield BatchedGenerate(self.model, ends, step_ends, batch, side == CALL_PER_STEP)
        elif side == CONTINUOUS:
            batching = ContinuousBatching(self.model, ends, step_ends, rows, self.capacity)
            try:
                yield batching
            finally:
                batching.stop()
        else:
            from scdpo.engines.vllm_engine import VllmEngine

            with tempfile.TemporaryDirectory() as place:
                folder = Path(place) / "model"
                save_model(self.model, self.tokenizer, folder, "")
                marks = Landmarks(ends, step_ends, ramps=True)
                yield VllmEngine(folder, marks, rows, self.capacity, self.precision)
