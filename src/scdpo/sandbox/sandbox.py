"""The sandbox: blocks of code in, outputs out, a session a solution; the client's side of the fork server.

Knows no solution and no format. Refuses to start where a layer of isolation is missing (docs/sandbox.md).
"""

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
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scdpo.errors import SandboxError
from scdpo.sandbox.bubblewrap import bubblewrap, package_folders
from scdpo.sandbox.output import Output
from scdpo.sandbox.settings import SandboxSettings

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


@dataclass(frozen=True, slots=True)
class Isolation:
    """What keeps the sessions in. layers: name -> detail of those in force; missing: name -> why there is none.

    required: whether each of the missing ones is one that must be there (bubblewrap need not).
    """

    layers: dict[str, str]
    missing: dict[str, str]
    optional: dict[str, str]

    def described(self) -> list[str]:
        """The layers in force, for a manifest; what is missing is named too."""
        return [
            *(f"{name} ({detail})" for name, detail in self.layers.items()),
            *(f"MISSING: {name} ({why})" for name, why in self.missing.items()),
        ]


class Sandbox:
    """Runs code in sessions, each named by a number of the caller's choice; begins with the first block, ends with `close`.

    To be used from one thread. Raises SandboxError from `start` (and from what first needs the server) where a layer is missing
    and settings.unsafe_no_isolation is off, or the server does not start.
    """

    def __init__(self, settings: SandboxSettings | None = None) -> None:
        self.settings = settings or SandboxSettings()
        self.server: subprocess.Popen[bytes] | None = None
        self.isolation: Isolation | None = None
        self.asked = 0
        self.pending: dict[int, Any] = {}
        self.lost: list[tuple[Any, Output]] = []
        self.alive: set[int] = set()
        self.dead: set[int] = set()

    @property
    def most_sessions(self) -> int:
        """How many sessions may be alive at once; for the caller to heed."""
        return self.settings.sessions

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Isolation:
        """Start the server where it is not running; says what is in force."""
        if self.server is not None and self.isolation is not None:
            return self.isolation
        prefix, note = bubblewrap(package_folders()) if self.settings.bubblewrap == "auto" else ([], "switched off")
        self.folder = tempfile.TemporaryDirectory(prefix="scdpo-sandbox-")
        Path(self.folder.name).chmod(0o711)
        self.socket, theirs = socket.socketpair()
        options = self.settings.model_dump(mode="json") | {"jobs": self.settings.jobs or os.cpu_count() or 1}
        command = [sys.executable, "-s", "-P", "-m", "scdpo.sandbox.server", str(theirs.fileno()), json.dumps(options)]
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        with theirs, tempfile.TemporaryFile() as complaints:
            self.server = subprocess.Popen(
                [*prefix, *command],
                cwd=self.folder.name,
                env=ENVIRONMENT | passed | {"PYTHONPATH": os.pathsep.join(package_folders())},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                start_new_session=True,
            )
            theirs.close()
            self.received = bytearray()
            hello = self._message(START_SECONDS)
            if hello is None:
                self.stop()
                complaints.seek(0)
                lines = complaints.read().decode(errors="replace").strip().splitlines()
                raise SandboxError(
                    f"the sandbox does not start: {lines[-1] if lines else 'no reason given'}; try: scdpo doctor"
                )
        layers = hello["layers"] | ({"bubblewrap": note} if prefix else {})
        missing = hello["missing"]
        if hello["not_held"]:
            missing = missing | {"self-test": f"a session could: {hello['not_held']}"}
        self.isolation = Isolation(layers, missing, {} if prefix else {"bubblewrap": note})
        try:
            self._refuse(hello["modules_missing"])
        except SandboxError:
            self.stop()
            raise
        return self.isolation

    def _refuse(self, modules_missing: Sequence[str]) -> None:
        """Raise SandboxError for what must be there and is not."""
        assert self.isolation is not None
        wanted = [name for name in modules_missing if name in self.settings.modules]
        if wanted:
            raise SandboxError(
                f"sandbox.modules names {', '.join(wanted)}, which cannot be imported; install it or leave it out"
            )
        if self.settings.echo == "pretty" and "IPython.lib.pretty" in modules_missing:
            raise SandboxError('sandbox.echo = "pretty" needs IPython; install it: pip install ipython')
        if self.isolation.missing and not self.settings.unsafe_no_isolation:
            named = "; ".join(f"{name}: {why}" for name, why in self.isolation.missing.items())
            raise SandboxError(
                f"code would run without isolation here ({named}); use a machine that has it (scdpo doctor), or accept the "
                "risk with --unsafe-no-isolation"
            )

    def submit(self, ticket: Any, session: int, code: str) -> None:
        """Ask for a block to be run in a session; `ticket` names it in the answer. Blocks of a session run in their order."""
        try:
            code.encode()
        except UnicodeEncodeError:
            self.lost.append((ticket, Output("the block is not text that can be encoded", "refused")))
            return
        if len(code) > self.settings.code_characters:
            reason = f"a block of {len(code):,} characters; {self.settings.code_characters:,} are allowed"
            self.lost.append((ticket, Output(reason, "refused")))
            return
        self.start()
        if session in self.dead:
            self.lost.append((ticket, Output("the session is dead", "killed")))
            return
        self.asked += 1
        self.pending[self.asked] = ticket
        self.alive.add(session)
        self._send({"do": "run", "ticket": self.asked, "session": session, "code": code})

    def poll(self, seconds: float | None = 0.0) -> list[tuple[Any, Output]]:
        """(ticket, output) of the blocks that have ended; waits up to `seconds` (None: for ever) where none has."""
        done, self.lost = self.lost, []
        deadline = None if seconds is None else time.monotonic() + seconds
        while self.pending:
            left = 0.0 if done else None if deadline is None else max(0.0, deadline - time.monotonic())
            reply = self._message(left)
            if reply is None and self.server is not None:
                break
            if reply is None:
                lost, self.lost = self.lost, []
                return done + lost
            done.append((self.pending.pop(reply["ticket"]), Output(reply["text"], reply["status"], reply["seconds"])))
        return done

    def close(self, session: int) -> None:
        """End a session. Its number may be used again."""
        self.dead.discard(session)
        if session in self.alive:
            self.alive.discard(session)
            self._send({"do": "close", "session": session})

    def run(self, blocks: Iterable[str]) -> list[Output]:
        """The outputs of a whole solution's blocks, in a session of its own."""
        assert not self.pending, "run() is for a sandbox that has nothing else to do"
        outputs = []
        for code in blocks:
            self.submit(None, -1, code)
            outputs += [output for _, output in self.poll(None)]
        self.close(-1)
        return outputs

    def stop(self) -> None:
        """End the server and all sessions. Blocks that still run are lost."""
        if self.server is None:
            return
        server, self.server = self.server, None
        self.socket.close()
        try:
            server.wait(timeout=5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        self.folder.cleanup()
        self.pending.clear()
        self.alive.clear()

    def _send(self, message: dict[str, Any]) -> None:
        content = json.dumps(message, ensure_ascii=False).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the server's end is noticed where replies are read
            self.socket.sendall(len(content).to_bytes(4, "big") + content)

    def _message(self, seconds: float | None) -> dict[str, Any] | None:
        """The server's next message; None where none has come in time, and where the server is lost (its sessions with it)."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            end = 4 + int.from_bytes(self.received[:4], "big") if len(self.received) >= 4 else None
            if end is not None and len(self.received) >= end:
                message = json.loads(self.received[4:end])
                del self.received[:end]
                return message
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready, _, _ = select.select([self.socket], [], [], left)
            if not ready:
                return None
            try:
                part = self.socket.recv(1 << 20)
            except ConnectionResetError:
                part = b""
            if not part:
                self._lose()
                return None
            self.received += part

    def _lose(self) -> None:
        """The server is gone: its sessions are dead, what they owed is killed, and the next block starts another server."""
        self.lost += [(ticket, Output("the sandbox was lost (out of memory?)", "killed")) for ticket in self.pending.values()]
        self.dead |= self.alive
        self.stop()
