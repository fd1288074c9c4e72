"""What a recipe asks of this machine: packages, GPUs, servers that answer. vLLM, Ray and trackers are not imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec

from scdpo.errors import SandboxError
from scdpo.problems.settings import each_source
from scdpo.run.checks.finding import Finding
from scdpo.run.recipe import Recipe
from scdpo.sandbox.sandbox import Sandbox

SECONDS = 3.0
"""How long a server may take to answer."""


def machine_findings(recipe: Recipe) -> list[Finding]:
    """What is missing here, and which servers are silent. Takes at most SECONDS for each server."""
    return [*packages(recipe), *gpus(recipe), *servers(recipe)]


def packages(recipe: Recipe) -> Iterator[Finding]:
    """Packages that are wanted and not installed: refused."""
    for field, package, requirement in wanted(recipe):
        if find_spec(package) is None:
            yield Finding(field, f"{package} is not installed; install it with: pip install {requirement}", refused=True)


def wanted(recipe: Recipe) -> Iterator[tuple[str, str, str]]:
    """(the field that wants it, the package, what to install) of the packages that are not part of every installation."""
    for name, settings in (("sft", recipe.sft), ("rft", recipe.rft), ("training", recipe.training)):
        yield from ((f"{name}.report_to", tracker, tracker) for tracker in settings.report_to)
        if settings.lora.quantize:
            yield f"{name}.lora.quantize", "bitsandbytes", '"scdpo[qlora]"'
    if recipe.engine.kind == "vllm":
        yield "engine.kind", "vllm", '"scdpo[vllm]"'
    if recipe.engine.kind == "server":
        yield "engine.kind", "httpx", '"scdpo[server]"'
    if recipe.ray.address:
        yield "ray.address", "ray", '"scdpo[ray]"'
    if any(source.startswith("gsm_symbolic") for source in each_source(recipe.problems.source)):
        yield "problems.source", "reasoning_gym", '"scdpo[gsm]"'


def gpus(recipe: Recipe) -> Iterator[Finding]:
    """vLLM without a GPU: said, as its build for processors is another package."""
    if recipe.engine.kind == "vllm" and find_spec("vllm"):
        import torch

        if not torch.cuda.is_available():
            yield Finding("engine.kind", "vLLM finds no GPU here and needs its build for processors (docs/engines.md)")


def isolation(recipe: Recipe) -> Iterator[Finding]:
    """A sandbox that does not start, of a recipe whose solutions have code: refused."""
    if recipe.code.format:
        try:
            with Sandbox(recipe.sandbox) as sandbox:
                sandbox.start()
        except SandboxError as error:
            yield Finding("code.format", str(error), refused=True)


def servers(recipe: Recipe) -> Iterator[Finding]:
    """Servers that do not answer: said, as they serve the SFT model, which may not be there yet."""
    if recipe.engine.kind != "server" or find_spec("httpx") is None:
        return
    import httpx

    key = os.environ.get(recipe.engine.server.key_variable)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    for address in recipe.engine.server.addresses:
        try:
            reply = httpx.get(f"{address.rstrip('/')}/models", headers=headers, timeout=SECONDS)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            yield Finding("engine.server.addresses", f"{address} does not answer ({error}); sampling will want it")
            continue
        if reply.is_error:
            yield Finding("engine.server.addresses", f"{address} answers with status {reply.status_code}")
