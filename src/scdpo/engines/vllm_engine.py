"""vLLM in this process: its scheduler, its kernels and its prefix cache, our ramp and draws inside it (see vllm_draw).

Draws depend on the request's seed and the logits; the logits' last digits depend on what vLLM computes together. Knows no text.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from scdpo.engines.interface import Completion, Generate, refuse_unfit
from scdpo.engines.pieces import Answer, Landmarks, Progress
from scdpo.engines.settings import VllmSettings
from scdpo.errors import ModelError, first_line


class VllmEngine:
    """Generates with the model in `folder`, at most `rows` requests at once.

    marks: the ids that end a solution, a step, or a piece of code; capacity: tokens of the longest prompt with its completion.
    Raises ModelError.
    """

    def __init__(
        self,
        folder: Path,
        marks: Landmarks,
        rows: int,
        capacity: int,
        precision: str = "float32",
        settings: VllmSettings | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        from vllm import EngineArgs, SamplingParams
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.llm_engine import LLMEngine

        from scdpo.engines.vllm_draw import STEP_ENDS, RampedDraw

        chosen = settings or VllmSettings()
        self.marks, self.capacity = marks, capacity
        self.make_params, self.kind = SamplingParams, RequestOutputKind.FINAL_ONLY
        self.asked: dict[str, tuple[int, Progress]] = {}
        self.count = 0
        arguments = EngineArgs(
            model=str(folder),
            dtype=precision,
            max_model_len=capacity,
            max_num_seqs=rows,
            enable_prefix_caching=True,
            enforce_eager=chosen.eager,
            gpu_memory_utilization=chosen.memory,
            logits_processors=[RampedDraw],
            additional_config={STEP_ENDS: sorted(marks.step_end_ids)},
            async_scheduling=False,  # ids are to be known when the next one is drawn
            disable_log_stats=True,
            trust_remote_code=trust_remote_code,
        )
        try:
            self.engine: Any = LLMEngine.from_engine_args(arguments)
        except (ValueError, RuntimeError, OSError) as error:
            reason = first_line(error)
            raise ModelError(f"vLLM does not start on {folder}: {reason}") from error

    def submit(self, ticket: int, request: Generate) -> None:
        refuse_unfit(request, self.capacity)
        self._ask(ticket, Progress(request))

    def cancel(self, ticket: int) -> None:
        self._drop([name for name, (other, _) in self.asked.items() if other == ticket])

    def reset(self) -> None:
        self._drop(list(self.asked))
        self.engine.reset_prefix_cache()

    def advance(self) -> list[tuple[int, Completion]]:
        if not self.asked:
            return []
        done = []
        for output in self.engine.step():
            found = self.asked.pop(output.request_id, None) if output.finished else None
            if found is None:
                continue
            ticket, progress = found
            (made,) = output.outputs
            ids = tuple(made.token_ids)
            log_probs = tuple(entry[id].logprob for id, entry in zip(ids, made.logprobs, strict=True))
            after = progress.take(Answer(ids, log_probs, "length" if made.finish_reason == "length" else "stop"), self.marks)
            if isinstance(after, Completion):
                done.append((ticket, after))
            else:
                self._ask(ticket, after)
        return done

    def _ask(self, ticket: int, progress: Progress) -> None:
        piece, ramp = progress.next_piece(self.marks), progress.request.temperature
        name, self.count = str(self.count), self.count + 1
        self.asked[name] = (ticket, progress)
        draws = {
            "ramp": [ramp.start, ramp.increment, ramp.maximum],
            "top_p": piece.top_p,
            "step": piece.step,
            "inside": piece.inside,
            "seed": progress.request.seed,
            "before": len(progress.ids),
        }
        params = self.make_params(
            temperature=0.0,
            max_tokens=piece.max_new_tokens,
            stop_token_ids=sorted(piece.stop_ids),
            ignore_eos=True,  # the end ids are among these
            logprobs=0,
            detokenize=False,
            output_kind=self.kind,
            extra_args={"scdpo": draws},
        )
        self.engine.add_request(name, {"prompt_token_ids": list(piece.ids)}, params)

    def _drop(self, names: list[str]) -> None:
        for name in names:
            del self.asked[name]
        if names:
            self.engine.abort_request(names)
