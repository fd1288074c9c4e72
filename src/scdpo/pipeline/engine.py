"""The engine that a run names, over one of its models.

Knows which engines there are; imports only the one that is asked for.
"""

from __future__ import annotations

import os
from pathlib import Path

from scdpo.engines.interface import Engine
from scdpo.engines.pieces import Landmarks
from scdpo.engines.settings import EngineSettings
from scdpo.errors import ModelError
from scdpo.solutions.codec import Codec


def open_engine(settings: EngineSettings, folder: Path, codec: Codec, context: int, trust_remote_code: bool = False) -> Engine:
    """An engine with the model in `folder`; codec: whose ids end steps and solutions; context: tokens of the longest prompt
    with its completion. Raises ModelError."""
    ends = {codec.end_id, codec.tokenizer.eos_token_id}
    if settings.kind == "vllm":
        raise NotImplementedError
    if settings.kind == "server":
        return _open_server(settings, folder, Landmarks(frozenset(ends), codec.step_end_ids, codec.stop_ids), context)
    from scdpo.engines.transformers_engine import TransformersEngine
    from scdpo.training.model_files import load_model

    model = load_model(folder, trust_remote_code=trust_remote_code)
    return TransformersEngine(model, ends, codec.step_end_ids, settings.rows, context, codec.stop_ids)


def _open_server(settings: EngineSettings, folder: Path, marks: Landmarks, context: int) -> Engine:
    try:
        from scdpo.engines.server_engine import ServerEngine
    except ModuleNotFoundError as error:
        if error.name != "httpx":
            raise
        raise ModelError('engine.kind "server" needs httpx; install it with: pip install "scdpo[server]"') from error
    name = folder.name
    start = f"vllm serve {folder} --served-model-name {name} --max-model-len {context} --port 8000"
    return ServerEngine(settings.server, name, marks, context, os.environ.get(settings.server.key_variable), start)
