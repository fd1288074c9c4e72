"""The ways of others to sample, as engines: the same rollouts run over each.

transformers' `generate` over padded batches, its own continuous batching, and one call a step with the whole prefix computed
again, which is the way of the paper's authors. Knows no problems.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor
from transformers import ContinuousBatchingConfig, GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.utils import is_flash_attn_2_available, is_flash_attn_3_available

from benchmarks.errors import BenchError
from scdpo.engines.interface import Completion, Generate
from scdpo.engines.pieces import Answer, Landmarks, Piece, Progress

PATIENCE = 300.0
"""Seconds without an answer after which continuous batching is taken for dead."""
PAGE = 16
"""Tokens of a page of its cache: of prompts, whole pages are shared."""


class RampProcessor(LogitsProcessor):
    """The temperature of each row by its generated step, inside `generate`."""

    def __init__(self, requests: list[Generate], pieces: list[Piece], is_step_end: Tensor) -> None:
        ramps = [
            (request.temperature.start, request.temperature.increment, request.temperature.maximum) for request in requests
        ]
        device = is_step_end.device
        self.ramps = torch.tensor(ramps, device=device)
        self.steps = torch.tensor([float(piece.step) for piece in pieces], device=device)
        self.in_step = torch.tensor([piece.inside for piece in pieces], device=device)
        self.is_step_end, self.has_begun = is_step_end, False

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.has_begun:
            ends = self.is_step_end[input_ids[:, -1]]
            self.steps += ends & self.in_step
            self.in_step = ~ends
        self.has_begun = True
        start, increment, maximum = self.ramps.unbind(1)
        return scores / torch.minimum(start + increment * self.steps, maximum)[:, None]


class BatchedGenerate:
    """`model.generate`, `batch` requests at once, padded on the left; the next batch when the longest of this one has ended.

    a_step: one call for each step of a ramp, whatever came before computed again.
    """

    def __init__(self, model: Any, end_ids: Collection[int], step_end_ids: Collection[int], batch: int, a_step: bool) -> None:
        self.model, self.batch = model, batch
        self.marks = Landmarks(frozenset(end_ids), frozenset(step_end_ids), ramps=not a_step)
        self.is_step_end = torch.zeros(model.get_input_embeddings().num_embeddings, dtype=torch.bool, device=model.device)
        self.is_step_end[list(step_end_ids)] = True
        self.reset()

    def reset(self) -> None:
        self.queue: deque[tuple[int, Progress]] = deque()

    def submit(self, ticket: int, request: Generate) -> None:
        self.queue.append((ticket, Progress(request)))

    def cancel(self, ticket: int) -> None:
        self.queue = deque(waiting for waiting in self.queue if waiting[0] != ticket)

    @torch.inference_mode()
    def advance(self) -> list[tuple[int, Completion]]:
        asked = [self.queue.popleft() for _ in range(min(self.batch, len(self.queue)))]
        pieces = [progress.next_piece(self.marks) for _, progress in asked]
        width = max(len(piece.ids) for piece in pieces)
        ids, mask = torch.zeros(2, len(asked), width, dtype=torch.long)
        for row, piece in enumerate(pieces):
            ids[row, width - len(piece.ids) :], mask[row, width - len(piece.ids) :] = torch.tensor(piece.ids), 1
        torch.manual_seed(pieces[0].seed % 2**63)
        made = self.model.generate(
            input_ids=ids.to(self.model.device),
            attention_mask=mask.to(self.model.device),
            logits_processor=LogitsProcessorList(
                [RampProcessor([progress.request for _, progress in asked], pieces, self.is_step_end)]
            ),
            generation_config=GenerationConfig(
                max_new_tokens=max(piece.max_new_tokens for piece in pieces),
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                eos_token_id=sorted(frozenset().union(*(piece.stop_ids for piece in pieces))),
                pad_token_id=0,
            ),
        )
        done = []
        for (ticket, progress), piece, row in zip(asked, pieces, made[:, width:].tolist(), strict=True):
            place = next((place for place, id in enumerate(row, start=1) if id in piece.stop_ids), 0)
            kept = tuple(row[: place or len(row)])
            after = progress.take(Answer(kept, (0.0,) * len(kept), "stop" if place else "length"), self.marks)
            if isinstance(after, Completion):
                done.append((ticket, after))
            else:
                self.queue.append((ticket, after))
        return done


def best_settings(device: torch.device, rows: int, capacity: int) -> dict[str, Any]:
    """What continuous batching is fastest with on a device. On a GPU graphs and batches ahead are as the library decides; where
    flash attention is installed, so are pages and their number, since its kernels want pages of their own."""
    known = ContinuousBatchingConfig.__dataclass_fields__
    page = "page_size" if "page_size" in known else "block_size"  # of older transformers
    pages = {page: PAGE, "num_blocks": rows * -(-capacity // PAGE), "max_batch_tokens": max(512, 2 * rows)}
    on_processor = device.type == "cpu"
    has_flash = not on_processor and (is_flash_attn_2_available() or is_flash_attn_3_available())
    wanted = ({} if has_flash else pages) | {"auto_switch_to_flash": has_flash}
    if on_processor:
        wanted |= {"use_cuda_graph": False, "use_async_batching": False}
    return {name: value for name, value in wanted.items() if name in known}


class ContinuousBatching:
    """transformers' own continuous batching, with its prefix cache; a ramp's first temperature throughout (it has no ramps)."""

    def __init__(self, model: Any, end_ids: Collection[int], step_end_ids: Collection[int], rows: int, capacity: int) -> None:
        self.model, self.end_ids = model, frozenset(end_ids)
        self.marks = Landmarks(self.end_ids, frozenset(step_end_ids), ramps=True)
        self.waiting: dict[str, tuple[int, Progress]] = {}
        self.count = 0
        self.manager = model.init_continuous_batching(
            generation_config=GenerationConfig(do_sample=True, temperature=0.99, top_k=0, eos_token_id=sorted(self.end_ids)),
            continuous_batching_config=ContinuousBatchingConfig(
                max_requests_per_batch=rows, per_request_processors=True, **best_settings(model.device, rows, capacity)
            ),
        )
        self.manager.start()

    def reset(self) -> None:
        for ticket in [ticket for ticket, _ in self.waiting.values()]:
            self.cancel(ticket)

    def submit(self, ticket: int, request: Generate) -> None:
        name, self.count = str(self.count), self.count + 1
        self.waiting[name] = (ticket, Progress(request))
        self.manager.add_request(
            list(request.ids),
            name,
            request.max_new_tokens,
            eos_token_id=sorted(self.end_ids),
            temperature=float(request.temperature.at(request.step)),
        )

    def cancel(self, ticket: int) -> None:
        for name in [name for name, (other, _) in self.waiting.items() if other == ticket]:
            del self.waiting[name]
            self.manager.cancel_request(name)

    def advance(self) -> list[tuple[int, Completion]]:
        result = self.manager.get_result(timeout=PATIENCE)
        if result is None:
            raise BenchError("transformers' continuous batching gave no answer; see its own messages")
        if result.error:
            raise BenchError(f"transformers' continuous batching failed: {result.error}")
        found = self.waiting.pop(result.request_id, None)
        if found is None:
            return []
        ticket, progress = found
        ids = tuple(result.generated_tokens)
        ended = bool(ids) and ids[-1] in self.end_ids
        answer = Answer(ids, (0.0,) * len(ids), "stop" if ended else "length")
        completion = progress.take(answer, self.marks)
        assert isinstance(completion, Completion)
        return [(ticket, completion)]

    def stop(self) -> None:
        self.manager.stop(block=True)
