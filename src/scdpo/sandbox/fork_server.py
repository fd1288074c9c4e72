"""A fork server's process as its client holds it: started, spoken to, stopped. Knows no sessions (see sandbox, server)."""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from scdpo.errors import SandboxError
from scdpo.sandbox.bubblewrap import package_folders

START_SECONDS = 120.0
# The server's whole environment, which no session sees. Hashes and threads are fixed, so that runs do not differ. Memory in
# huge pages (by glibc's malloc) makes forks cheaper.
ENVIRONMENT = {
    "PYTHONMALLOC": "malloc",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TZ": "UTC",
    "LANG": "C.UTF-8",
    "PYTHONWARNINGS": "ignore::SyntaxWarning",
}
PASSED_ON = ("LD_LIBRARY_PATH", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""What the loader and the linear algebra need on some machines."""


class ForkServer:
    """One server process and the socket to it. hello: what it said of itself at the start.

    prefix: words before its command (bubblewrap's). Raises SandboxError where it does not start.
    """

    def __init__(self, options: dict[str, Any], prefix: Sequence[str]) -> None:
        self.socket, theirs = socket.socketpair()
        self.received = bytearray()
        self.is_lost = False
        command = [sys.executable, "-s", "-P", "-m", "scdpo.sandbox.server", str(theirs.fileno()), json.dumps(options)]
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        with theirs, tempfile.TemporaryFile() as complaints:
            self.process = subprocess.Popen(
                [*prefix, *command],
                cwd="/",
                env=ENVIRONMENT | passed | {"PYTHONPATH": os.pathsep.join(package_folders(options["modules"]))},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                start_new_session=True,
            )
            theirs.close()
            messages: list[dict[str, Any]] = []
            while not messages and not self.is_lost and wait_for([self], START_SECONDS):
                messages = self.messages()
            if not messages:
                self.stop()
                complaints.seek(0)
                lines = complaints.read().decode(errors="replace").strip().splitlines() or ["no reason given"]
                raise SandboxError(f"the sandbox does not start: {lines[-1]}; try: scdpo doctor")
        self.hello = messages[0]

    def send(self, message: dict[str, Any]) -> None:
        content = json.dumps(message, ensure_ascii=False).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # noticed where replies are read
            self.socket.sendall(len(content).to_bytes(4, "big") + content)

    def messages(self) -> list[dict[str, Any]]:
        """What has come from the server by now; sets is_lost where it is gone."""
        while wait_for([self], 0.0):
            try:
                part = self.socket.recv(1 << 20)
            except ConnectionResetError:
                part = b""
            if not part:
                self.is_lost = True
                break
            self.received += part
        found = []
        while len(self.received) >= 4 and len(self.received) >= (end := 4 + int.from_bytes(self.received[:4], "big")):
            found.append(json.loads(self.received[4:end]))
            del self.received[:end]
        return found

    def stop(self) -> None:
        """End the server and with it all its sessions."""
        self.socket.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def wait_for(servers: Sequence[ForkServer], seconds: float | None) -> bool:
    """Wait until one of the servers has something to say, or for so long; says whether one has."""
    poll = select.poll()  # select() knows no descriptors above 1023
    for server in servers:
        poll.register(server.socket, select.POLLIN)
    return bool(poll.poll(None if seconds is None else 1000 * seconds))


def seconds_left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())
