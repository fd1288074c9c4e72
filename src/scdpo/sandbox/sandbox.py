"""The sandbox: blocks of code in, outputs out, a session a solution.

Two fork servers stand behind it: a light one with the standard library, whose sessions cost a fraction, and a full one with
numpy, scipy and sympy, started when first needed. A session begins in the light one where its code names none of these, and
moves when it does: its blocks are run again there, and only the new one's output is given out.

Knows no solution and no format. Refuses to start where a layer of isolation is missing (docs/sandbox.md).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scdpo.cores import usable_cores
from scdpo.errors import SandboxError
from scdpo.sandbox.bubblewrap import bubblewrap, is_installed, package_folders
from scdpo.sandbox.fork_server import ForkServer, seconds_left, wait_for
from scdpo.sandbox.output import Output
from scdpo.sandbox.settings import SandboxSettings

FULL_MODULES = ("numpy", "scipy", "sympy", "mpmath")
MISSED = "ModuleNotFoundError"
LOST = "the sandbox was lost (out of memory?)"
DEAD = "the session is dead"


@dataclass(frozen=True, slots=True)
class Isolation:
    """What keeps the sessions in. layers: name -> detail of those in force; missing: name -> why a layer that must be there is
    not; optional: the same for one that need not.
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


@dataclass
class Block:
    """A block of a session. number: of the request that is to answer it, None where it is answered."""

    ticket: Any
    code: str
    number: int | None = None
    status: str = ""


@dataclass
class Session:
    """A solution's session: the blocks it was given, and whether it lives on the full server."""

    is_full: bool
    blocks: list[Block] = field(default_factory=list)
    is_dead: bool = False


class Sandbox:
    """Runs code in sessions, each named by a number of the caller's choice; begins with the first block, ends with `close`.

    To be used from one thread. Raises SandboxError from `start` (and from what first needs a server) where a layer is missing
    and settings.unsafe_no_isolation is off, or the server does not start.
    """

    def __init__(self, settings: SandboxSettings | None = None) -> None:
        self.settings = settings or SandboxSettings()
        self.servers: dict[bool, ForkServer] = {}
        self.isolation: Isolation | None = None
        self.sessions: dict[int, Session] = {}
        self.asked = 0
        self.pending: dict[int, tuple[int, Block]] = {}
        self.repeated: dict[int, tuple[Session, Block]] = {}
        self.at_once: list[tuple[Any, Output]] = []
        self.full_names = re.compile(rf"\b(?:{'|'.join(map(re.escape, (*FULL_MODULES, *self.settings.modules)))})\b")

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
        """Start a server where none is running; says what is in force."""
        missing = [name for name in self.settings.modules if not is_installed(name)]
        if missing:
            raise SandboxError(f"sandbox.modules: {', '.join(missing)} cannot be imported; install it or leave it out")
        if self.isolation is None or not self.servers:
            self._server(self.settings.echo == "pretty")
        assert self.isolation is not None
        return self.isolation

    def _server(self, is_full: bool) -> ForkServer:
        """The light or the full server, started where it is not running."""
        if is_full in self.servers:
            return self.servers[is_full]
        settings = self.settings
        prefix, note = bubblewrap(package_folders(settings.modules)) if settings.bubblewrap == "auto" else ([], "switched off")
        options = settings.model_dump(mode="json") | {"jobs": settings.jobs or usable_cores(), "full": is_full}
        server = ForkServer(options, prefix)
        layers = server.hello["layers"] | ({"bubblewrap": note} if prefix else {})
        missing = server.hello["missing"]
        if server.hello["not_held"]:
            missing = missing | {"self-test": f"a session could: {server.hello['not_held']}"}
        self.isolation = Isolation(layers, missing, {} if prefix else {"bubblewrap": note})
        try:
            self._refuse(server.hello["modules_missing"])
        except SandboxError:
            server.stop()
            raise
        self.servers[is_full] = server
        return server

    def _refuse(self, modules_missing: Sequence[str]) -> None:
        """Raise SandboxError for what must be there and is not."""
        assert self.isolation is not None
        wanted = [name for name in modules_missing if name in self.settings.modules]
        if wanted:
            raise SandboxError(f"sandbox.modules: {', '.join(wanted)} cannot be imported; install it or leave it out")
        if self.settings.echo == "pretty" and "IPython.lib.pretty" in modules_missing:
            raise SandboxError('sandbox.echo = "pretty" needs IPython; install it: pip install "scdpo[pretty]"')
        if self.isolation.missing and not self.settings.unsafe_no_isolation:
            named = "; ".join(f"{name}: {why}" for name, why in self.isolation.missing.items())
            raise SandboxError(
                f"code would run without isolation here ({named}); use a machine that has it (scdpo doctor), or accept the "
                "risk with --unsafe-no-isolation"
            )

    def submit(self, ticket: Any, session: int, code: str, ahead: Sequence[str] = ()) -> None:
        """Ask for a block to be run in a session; `ticket` names it in the answer. Blocks of a session run in their order.

        ahead: the blocks that will follow, where they are known; they decide with this one where the session begins.
        """
        refusal = self._refusal(code)
        if refusal:
            self.at_once.append((ticket, Output(refusal, "refused")))
            return
        state = self.sessions.get(session)
        if state is None:
            is_full = self.settings.echo == "pretty" or any(self.full_names.search(text) for text in (code, *ahead))
            self._server(is_full)
            state = self.sessions[session] = Session(is_full)
        if state.is_dead:
            self.at_once.append((ticket, Output(DEAD, "killed")))
            return
        block = Block(ticket, code)
        state.blocks.append(block)
        if not state.is_full and self.full_names.search(code):
            self._move(session, state)
        else:
            self._send(session, state, block)

    def _refusal(self, code: str) -> str | None:
        """Why a block is not run, or None."""
        try:
            code.encode()
        except UnicodeEncodeError:
            return "the block is not text that can be encoded"
        if len(code) > self.settings.code_characters:
            return f"a block of {len(code):,} characters; {self.settings.code_characters:,} are allowed"
        return None

    def _send(self, session: int, state: Session, block: Block, answers: bool = True) -> None:
        self.asked += 1
        if answers:
            block.number = self.asked
            self.pending[self.asked] = (session, block)
        else:
            self.repeated[self.asked] = (state, block)
        self._server(state.is_full).send({"do": "run", "ticket": self.asked, "session": session, "code": block.code})

    def _move(self, session: int, state: Session) -> None:
        """Begin the session again on the full server: answered blocks run for their effects, the others for their output."""
        self._server(True)
        if False in self.servers:  # it may have been lost meanwhile
            self.servers[False].send({"do": "close", "session": session})
        state.is_full = True
        for block in state.blocks:
            if block.number is not None:
                del self.pending[block.number]
            is_answered = block.number is None and block is not state.blocks[-1]
            self._send(session, state, block, answers=not is_answered)

    def poll(self, seconds: float | None = 0.0) -> list[tuple[Any, Output]]:
        """(ticket, output) of the blocks that have ended; waits up to `seconds` (None: for ever) where none has."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            for is_full, server in list(self.servers.items()):
                for reply in server.messages():
                    self._take(reply)
                if server.is_lost:
                    self._lose(is_full)
            done, self.at_once = self.at_once, []
            left = seconds_left(deadline)
            if done or not self.pending or left == 0.0:
                return done
            wait_for(list(self.servers.values()), left)

    def _take(self, reply: dict[str, Any]) -> None:
        """Give a reply out, unless nobody waits for it or its session must move for it."""
        if reply["ticket"] in self.repeated:
            moved, repeated = self.repeated.pop(reply["ticket"])
            if not moved.is_dead and (reply["status"] != repeated.status or reply["dead"]):
                self._end(moved, "the session could not be moved: a block ended otherwise the second time")
            return
        session, block = self.pending.get(reply["ticket"], (0, None))
        if block is None:
            return
        state = self.sessions[session]
        if reply["status"] == "error" and MISSED in reply["text"] and not state.is_full:
            self._move(session, state)
            return
        del self.pending[reply["ticket"]]
        block.number, block.status = None, reply["status"]
        state.is_dead = state.is_dead or reply["dead"]
        self.at_once.append((block.ticket, Output(reply["text"], reply["status"], reply["seconds"])))

    def close(self, session: int) -> None:
        """End a session. Its number may be used again; blocks of it that still run are answered by nobody."""
        state = self.sessions.pop(session, None)
        if state is None:
            return
        state.is_dead = True
        for block in state.blocks:
            if block.number is not None:
                del self.pending[block.number]
        if state.is_full in self.servers:
            self.servers[state.is_full].send({"do": "close", "session": session})

    def run(self, blocks: Iterable[str]) -> list[Output]:
        """The outputs of a whole solution's blocks, in a session of its own, while nothing else is asked for."""
        codes = list(blocks)
        for place, code in enumerate(codes):
            self.submit(place, -1, code, codes[place + 1 :])
        outputs: dict[int, Output] = {}
        while len(outputs) < len(codes):
            outputs |= dict(self.poll(None))
        self.close(-1)
        return [outputs[place] for place in range(len(codes))]

    def stop(self) -> None:
        """End the servers and all sessions. Blocks that still run are lost."""
        for server in self.servers.values():
            server.stop()
        self.servers.clear()
        self.sessions.clear()
        self.pending.clear()
        self.repeated.clear()
        self.at_once.clear()

    def _lose(self, is_full: bool) -> None:
        """A server is gone: its sessions are dead, what they owed is killed, and the next block starts another server."""
        self.servers.pop(is_full).stop()
        for state in self.sessions.values():
            if state.is_full == is_full:
                self._end(state, LOST)

    def _end(self, state: Session, why: str) -> None:
        """A session is dead: what it owes is killed."""
        state.is_dead = True
        for block in state.blocks:
            if block.number is not None:
                del self.pending[block.number]
                block.number = None
                self.at_once.append((block.ticket, Output(why, "killed")))
