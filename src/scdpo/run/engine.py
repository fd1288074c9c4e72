"""The engine that a run names, over one of its models.

Knows which engines there are; imports only the one that is asked for.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from scdpo.engines.interface import Engine
from scdpo.engines.pieces import Landmarks
from scdpo.engines.settings import EngineSettings
from scdpo.errors import ModelError
from scdpo.precision import engine_device, settled
from scdpo.solutions.codec import Codec


def open_engine(settings: EngineSettings, folder: Path, codec: Codec, context: int, trust_remote_code: bool = False) -> Engine:
    """An engine with the model in `folder`; codec: whose ids end steps and solutions; context: tokens of the longest prompt
    with its completion. Raises ModelError."""
    marks = Landmarks(codec.end_ids, codec.step_end_ids, codec.stop_ids, settings.kind == "vllm")
    if settings.kind == "server":
        return _open_server(settings, folder, marks, context)
    settings = settled(settings, engine_device())
    if settings.kind == "vllm":
        return _open_vllm(settings, folder, marks, context, trust_remote_code)
    import torch

    from scdpo.engines.transformers_engine import TransformersEngine
    from scdpo.training.model_files import load_model

    model = load_model(folder, trust_remote_code=trust_remote_code).to(getattr(torch, settings.precision))
    model = model.to(engine_device())
    return TransformersEngine(model, marks.end_ids, marks.step_end_ids, settings.rows, context, marks.stop_ids)


def _open_vllm(settings: EngineSettings, folder: Path, marks: Landmarks, context: int, trust_remote_code: bool) -> Engine:
    from scdpo.training.adapters import is_adapter

    if importlib.util.find_spec("vllm") is None:
        raise ModelError('engine.kind "vllm" needs vLLM; install it with: pip install "scdpo[vllm]" (docs/engines.md)')
    if is_adapter(folder):
        raise ModelError(f'{folder} holds adapters, which engine.kind "vllm" does not load; set engine.kind = "transformers"')
    from scdpo.engines.vllm_engine import VllmEngine

    return VllmEngine(folder, marks, settings.rows, context, settings.precision, settings.vllm, trust_remote_code)


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
