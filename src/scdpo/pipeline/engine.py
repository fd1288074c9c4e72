"""The engine that a run names, over one of its models.

Knows which engines there are; imports only the one that is asked for.
"""

from __future__ import annotations

from pathlib import Path

from scdpo.engines.interface import Engine
from scdpo.engines.settings import EngineSettings
from scdpo.solutions.codec import Codec


def open_engine(settings: EngineSettings, folder: Path, codec: Codec, context: int, trust_remote_code: bool = False) -> Engine:
    """An engine with the model in `folder`; codec: whose ids end steps and solutions; context: tokens of the longest prompt
    with its completion. Raises ModelError."""
    ends = {codec.end_id, codec.tokenizer.eos_token_id}
    if settings.kind == "vllm":
        raise NotImplementedError
    if settings.kind == "server":
        raise NotImplementedError
    from scdpo.engines.transformers_engine import TransformersEngine
    from scdpo.training.model_files import load_model

    model = load_model(folder, trust_remote_code=trust_remote_code)
    return TransformersEngine(model, ends, codec.step_end_ids, settings.rows, context, codec.stop_ids)
