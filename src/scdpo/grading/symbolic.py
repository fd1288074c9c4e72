"""Symbolic comparison in a process of its own: memory limit, wall clock, kill and respawn.

Knows the protocol of symbolic_worker and no mathematics.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from scdpo.errors import GradingError
from scdpo.grading.comparison import Match
from scdpo.grading.hostile import too_costly

WORKER = Path(__file__).with_name("symbolic_worker.py")
SECONDS = 3.0
GRACE = 1.0
MEGABYTES = 1024
START_SECONDS = 120.0
LOST = Match(None, "symbolic", "the comparing process was lost (too much memory?)")


class SymbolicGrader:
    """Compares mathematics, one pair at a time, in a worker process that starts with the first one.

    seconds: the worker's own clock for a pair; one second later it is killed and replaced. megabytes: its address space.
    Safe to use from several threads, which then wait for each other.
    """

    def __init__(self, seconds: float = SECONDS, megabytes: int = MEGABYTES) -> None:
        self.seconds, self.megabytes = seconds, megabytes
        self.process: subprocess.Popen[bytes] | None = None
        self.owner = 0
        self.worker: int | None = None
        self.received = b""
        self.asked = 0
        self.replaced = 0
        self.lock = threading.Lock()
        self.remembered = lru_cache(maxsize=4096)(self._ask)

    def ask(self, prediction: str, gold: str) -> Match:
        """Whether two pieces of mathematics are equal; undecided where that would cost, or did cost, too much."""
        for text in (prediction, gold):
            costly = too_costly(text)
            if costly:
                return Match(None, "symbolic", f"not compared: {costly}")
        with self.lock:
            return self.remembered(prediction, gold)

    def _ask(self, prediction: str, gold: str) -> Match:
        self._ready()
        assert self.process is not None and self.process.stdin is not None
        self.asked += 1
        request = {"id": self.asked, "prediction": prediction, "gold": gold, "seconds": self.seconds}
        deadline = time.monotonic() + self.seconds + GRACE
        try:
            self.process.stdin.write((json.dumps(request) + "\n").encode())
            self.process.stdin.flush()
            while (reply := self._reply(deadline)) is not None:
                if "died" in reply:
                    self._await_worker()
                    return LOST
                if reply.get("id") == self.asked:  # an earlier one answers what was asked of a lost worker
                    return Match(reply["same"], "symbolic", reply["reason"])
        except (EOFError, BrokenPipeError):  # the keeper is lost too: the next question starts both again
            self.close()
            return LOST
        self._replace_worker()
        return Match(None, "symbolic", "took too long to compare")

    def _ready(self) -> None:
        """Start the processes where there are none of ours: a forked copy of this process starts its own."""
        if self.process is not None and self.owner == os.getpid() and self.process.poll() is None:
            return
        self.close()
        self.owner, self.received = os.getpid(), b""
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(WORKER), str(self.megabytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        atexit.register(self.close)
        self._await_worker()

    def _replace_worker(self) -> None:
        """Kill the worker and wait for the next one."""
        if self.worker is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.worker, signal.SIGKILL)
        self._await_worker()

    def _await_worker(self) -> None:
        """Wait until a new worker says that it is there. Raises GradingError where none comes."""
        deadline = time.monotonic() + START_SECONDS
        with contextlib.suppress(EOFError):
            while (message := self._reply(deadline)) is not None:
                if "worker" in message:
                    self.replaced += self.worker is not None
                    self.worker = message["worker"]
                    return
        self.close()
        raise GradingError("the process that compares mathematics does not start; check with: python -c 'import math_verify'")

    def _reply(self, deadline: float) -> dict[str, Any] | None:
        """The next message, or None where none has come by the deadline. Raises EOFError where nobody is left to reply."""
        assert self.process is not None and self.process.stdout is not None
        file = self.process.stdout.fileno()
        while b"\n" not in self.received:
            ready, _, _ = select.select([file], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return None
            part = os.read(file, 65536)
            if not part:
                raise EOFError
            self.received += part
        line, _, self.received = self.received.partition(b"\n")
        return json.loads(line)

    def close(self) -> None:
        """End the processes."""
        atexit.unregister(self.close)
        if self.process is not None and self.owner == os.getpid():
            if self.process.stdin:
                with contextlib.suppress(BrokenPipeError):
                    self.process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=1)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            if self.process.stdout:
                self.process.stdout.close()
        self.process = self.worker = None
