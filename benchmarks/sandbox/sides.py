"""Sessions a second of the sandbox against jupyter_client with ipykernel, the way of the paper's authors, in one run.

A session is its start, `print(2+2)`, a block of sympy, and its end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.errors import BenchError
from scdpo.sandbox.output import Output
from scdpo.sandbox.sandbox import Sandbox
from scdpo.sandbox.settings import SandboxSettings

BLOCKS = ("print(2+2)", "from sympy import symbols, expand\nx = symbols('x')\nprint(expand((x + 1)**3))")
EXPECTED = ("4", "x**3 + 3*x**2 + 3*x + 1")
KERNEL_SECONDS = 60.0
HELD_OPEN = 40
"""Sessions alive together when their memory is measured."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side's figures. memory: megabytes that a session has to itself; shared: that all of them share."""

    name: str
    sessions: int
    seconds: float
    memory: float
    shared: float

    @property
    def rate(self) -> float:
        return self.sessions / self.seconds


def measure_ours(sessions: int, settings: SandboxSettings, report: Callable[[int], None]) -> Side:
    """`sessions` whole sessions, one after another, as the peer's are."""
    with Sandbox(settings) as sandbox:
        check(sandbox.run(BLOCKS))
        began = time.perf_counter()
        for _ in range(sessions):
            check(sandbox.run(BLOCKS))
            report(1)
        seconds = time.perf_counter() - began
        memory, shared = our_memory(sandbox)
    return Side("scdpo", sessions, seconds, memory, shared)


def check(outputs: list[Output]) -> None:
    """Raise BenchError where a session answered wrongly."""
    if tuple(output.text for output in outputs) != EXPECTED:
        raise BenchError(f"a session answered {[output.text for output in outputs]}; see scdpo doctor")


def our_memory(sandbox: Sandbox) -> tuple[float, float]:
    """(megabytes that a session with its blocks run has to itself, megabytes of the server)."""
    import psutil

    server = sandbox.servers[True].process
    for session in range(HELD_OPEN):
        for place, code in enumerate(BLOCKS):
            sandbox.submit((session, place), session, code, BLOCKS[place + 1 :])
    answered = 0
    while answered < HELD_OPEN * len(BLOCKS):
        answered += len(sandbox.poll(None))
    processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    own = sorted(process.memory_full_info().uss for process in processes)
    shared = max(process.memory_info().rss for process in processes)
    for session in range(HELD_OPEN):
        sandbox.close(session)
    return sum(own[-HELD_OPEN:]) / HELD_OPEN / 1e6, shared / 1e6


def measure_kernels(sessions: int, report: Callable[[int], None]) -> Side:
    """As many sessions of ipykernel. Raises BenchError where it is not installed or answers wrongly."""
    try:
        from jupyter_client.manager import start_new_kernel
    except ImportError as error:
        raise BenchError("the peer is not installed; pip install jupyter_client ipykernel") from error
    import psutil

    memory = 0.0
    began = time.perf_counter()
    for _ in range(sessions):
        manager, client = start_new_kernel(startup_timeout=KERNEL_SECONDS)
        try:
            texts = [kernel_output(client, code) for code in BLOCKS]
            if tuple(texts) != EXPECTED:
                raise BenchError(f"ipykernel answered {texts}")
            kernel = psutil.Process(manager.provisioner.pid)  # type: ignore[union-attr]
            memory = max(memory, kernel.memory_full_info().uss / 1e6)
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)
        report(1)
    return Side("jupyter_client + ipykernel", sessions, time.perf_counter() - began, memory, 0.0)


def kernel_output(client: object, code: str) -> str:
    """What a block prints in a kernel."""
    parts: list[str] = []

    def hear(message: dict) -> None:
        if message["msg_type"] == "stream":
            parts.append(message["content"]["text"])

    client.execute_interactive(code, timeout=KERNEL_SECONDS, output_hook=hear)  # type: ignore[attr-defined]
    return "".join(parts).strip()
