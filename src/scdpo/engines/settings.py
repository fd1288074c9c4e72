"""What can be set about engines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from scdpo.precision import Precision
from scdpo.settings import Settings

EngineKind = Literal["transformers", "vllm", "server"]


class VllmSettings(Settings):
    """The engine "vllm": vLLM in this process (docs/engines.md)."""

    memory: float = Field(0.9, gt=0, le=1)
    """The share of a GPU's memory that vLLM may take (its gpu_memory_utilization); without a GPU, of the machine's."""
    eager: bool = False
    """Without compiling the model first: starts at once, and is slower afterwards."""


class ServerSettings(Settings):
    """The engine "server": OpenAI-compatible completions servers (docs/engines.md)."""

    addresses: tuple[str, ...] = ()
    """Where they listen, as http://host:port/v1; each serves the run's model by its name in models/ (sft, scdpo)."""
    in_flight: int = Field(64, ge=1)
    """The most requests that an address has at once, from each worker process."""
    patience: float = Field(600.0, gt=0)
    """Seconds without any answer from any address after which a run gives up; until then it tries again, ever more slowly."""
    timeout: float = Field(300.0, gt=0)
    """Seconds that one answer may take."""
    send_seed: bool = True
    """Send each request's seed; off for vLLM on processors, which dies of one where it computes a prompt in chunks (0.32)."""
    key_variable: str = "OPENAI_API_KEY"
    """The environment variable that holds the key, where a server asks for one."""


class EngineSettings(Settings):
    """What generates."""

    kind: EngineKind = "transformers"
    """transformers: embedded, exact; vllm: in process, for GPUs; server: completions servers at engine.server.addresses."""
    rows: int = Field(128, ge=1)
    """Requests decoded at once."""
    threads: int = Field(1, ge=1)
    """Processor threads of each worker. Another number may change the last digit of a sum; nothing is made again for it."""
    precision: Precision = "auto"
    """The weights' format while sampling and evaluating; bfloat16 rounds. auto: bfloat16, where the device has it."""
    vllm: VllmSettings = VllmSettings()
    server: ServerSettings = ServerSettings()

    def misfits(self, path: str = "") -> Iterator[str]:
        if self.kind == "server" and not self.server.addresses:
            yield f'{path}.kind is "server" and {path}.server.addresses is empty; set it to ["http://host:port/v1"]'
