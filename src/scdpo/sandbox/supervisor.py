"""The supervisor: sessions by name, their blocks in order, their clocks, and their ends; it never waits for a session.

A session is told what to run under a fresh secret id, and only a reply with that id counts: nothing that code writes can pass
for the answer to another block. Requests come and answers go on the client's socket, each message as JSON after its length.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import select
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from scdpo.sandbox.session import LARGEST_MESSAGE

GRACE = 1.0
"""Seconds between the interrupt and the kill."""
SPARE = 4
"""Locked sessions that wait for their first block, made while there is nothing else to do."""
STUCK = 30.0
"""Seconds after which a zygote that says nothing counts as dead."""
JUNK = 10
"""Messages without the right id that a session may send before it is killed."""


@dataclass
class Request:
    """A block that a session is to run, and what has become of it."""

    ticket: int
    code: str
    id: str = ""
    began: float = 0.0
    interrupted: bool = False


@dataclass
class Process:
    """A session's process. name: None while it is spare; waiting: its blocks not begun yet; junk: messages without use."""

    pid: int
    pidfd: int
    channel: socket.socket
    name: int | None = None
    waiting: deque[Request] = field(default_factory=deque)
    running: Request | None = None
    junk: int = 0


class Server:
    """Sessions by name, at most `jobs` blocks at once; each block may take `seconds`."""

    def __init__(self, client: socket.socket, zygote: socket.socket, options: dict[str, Any]) -> None:
        self.client, self.zygote, self.options = client, zygote, options
        self.full_until = 0.0
        self.selector = selectors.DefaultSelector()
        client.setblocking(False)
        self.selector.register(client, selectors.EVENT_READ)
        self.selector.register(zygote, selectors.EVENT_READ)
        self.sessions: dict[int | None, Process | None] = {}  # None: dead, and not closed yet
        self.spare: deque[Process] = deque()
        self.ordered: deque[socket.socket] = deque()
        self.ready: deque[Process] = deque()
        self.running: set[int | None] = set()
        self.received, self.unsent = bytearray(), bytearray()
        self.is_open = True

    def loop(self) -> None:
        """Serve until the client is gone."""
        while self.is_open:
            self.step()
        self.end_all()

    def end_all(self) -> None:
        """Kill every session, those on order too, and wait until they have gone."""
        with contextlib.suppress(OSError):
            while self.ordered:
                self.listen()
        for process in (*self.spare, *self.sessions.values()):
            if process is not None:
                self.end(process)
        for key in list(self.selector.get_map().values()):
            if isinstance(key.data, int):
                self.reap(key.fd, key.data)

    def step(self) -> None:
        """Begin what can begin, then wait for the next event: a request, a reply, an end, or a deadline."""
        self.dispatch()
        now = time.monotonic()
        waits = [self.deadline(request) - now for request in self.requests()]
        while len(self.spare) + len(self.ordered) < SPARE and now > self.full_until:
            try:
                self.order()
            except OSError:  # no more descriptors
                self.full_until = now + 1.0
        for key, events in self.selector.select(max(0.0, min(waits)) if waits else None):
            if key.fileobj is self.client:
                self.receive(events)
            elif key.fileobj is self.zygote:
                with contextlib.suppress(OSError):  # what came may have been taken by an event of this round
                    self.listen(wait=False)
            elif isinstance(key.data, Process):
                if key.data.channel.fileno() >= 0:  # it may have been closed by an event of this round
                    self.read(key.data)
            else:
                self.reap(key.fd, key.data)
        self.keep_time()

    def requests(self) -> Iterator[Request]:
        """The blocks that run now."""
        for process in map(self.sessions.get, self.running):
            if process is not None and process.running is not None:
                yield process.running

    def deadline(self, request: Request) -> float:
        return request.began + self.options["seconds"] + (GRACE if request.interrupted else 0.0)

    def keep_time(self) -> None:
        """Interrupt the blocks whose time is over, and kill the sessions that do not care."""
        now = time.monotonic()
        for process in [self.sessions.get(name) for name in self.running]:
            if process is None or process.running is None or now < self.deadline(process.running):
                continue
            if process.running.interrupted:
                self.end_process(process, "timeout", self.over_time())
            else:
                process.running.interrupted = True
                self.signal(process, signal.SIGINT)

    def signal(self, process: Process, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(process.pidfd, number)

    def over_time(self) -> str:
        return f"TimeoutError: stopped after {self.options['seconds']:g} seconds"

    # The client's side

    def receive(self, events: int) -> None:
        """Read what the client asks and send it what is due."""
        if events & selectors.EVENT_WRITE:
            self.send()
        if not events & selectors.EVENT_READ:
            return
        with contextlib.suppress(BlockingIOError):
            part = self.client.recv(1 << 20)
            self.is_open = bool(part)
            self.received += part
        while len(self.received) >= 4:
            end = 4 + int.from_bytes(self.received[:4], "big")
            if len(self.received) < end:
                return
            request = json.loads(self.received[4:end])
            del self.received[:end]
            if request["do"] == "run":
                self.take(request["session"], Request(request["ticket"], request["code"]))
            else:
                self.close(request["session"])

    def say(self, message: dict[str, Any]) -> None:
        content = json.dumps(message, ensure_ascii=False).encode()
        self.unsent += len(content).to_bytes(4, "big") + content
        self.send()

    def send(self) -> None:
        """Send what the client's socket takes; the rest waits, so that a busy client holds nobody up."""
        try:
            while self.unsent:
                del self.unsent[: self.client.send(self.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self.is_open = False
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.unsent else 0)
        self.selector.modify(self.client, wanted)

    def answer(self, request: Request, status: str, text: str, is_dead: bool = False) -> None:
        seconds = time.monotonic() - request.began if request.began else 0.0
        self.say({"ticket": request.ticket, "status": status, "text": text, "seconds": seconds, "dead": is_dead})

    # The sessions' side

    def take(self, name: int, request: Request) -> None:
        """Give a block to its session, which begins with its first one."""
        if name not in self.sessions:
            try:
                self.sessions[name] = self.new_session()
            except OSError as error:
                self.sessions[name] = None
                self.answer(request, "killed", f"the session could not start ({error.strerror})")
                return
        process = self.sessions[name]
        if process is None:
            self.answer(request, "killed", "the session is dead")
            return
        process.name = name
        process.waiting.append(request)
        if process.running is None and len(process.waiting) == 1:
            self.ready.append(process)

    def dispatch(self) -> None:
        """Begin blocks, in the order in which they came, while fewer than `jobs` run."""
        while self.ready and len(self.running) < self.options["jobs"]:
            process = self.ready.popleft()
            if process.name is None or self.sessions.get(process.name) is not process or not process.waiting:
                continue
            request = process.running = process.waiting.popleft()
            self.signal(process, signal.SIGCONT)
            request.id, request.began = secrets.token_hex(16), time.monotonic()
            self.running.add(process.name)
            message = json.dumps({"id": request.id, "code": request.code}, ensure_ascii=False).encode()
            try:
                process.channel.send(message)
            except OSError:
                self.end_process(process, "killed", "the session is dead")

    def order(self) -> None:
        """Ask the zygote for a new session, which comes to be spare (see listen). Raises OSError where there is no room."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST_MESSAGE)
        ours.setblocking(False)
        with theirs:
            socket.send_fds(self.zygote, [b"fork"], [theirs.fileno()])
        self.ordered.append(ours)

    def listen(self, wait: bool = True) -> str | None:
        """One message of the zygote: a session that was ordered, none, or how a process ended, which is returned.

        Raises OSError where the zygote has died, and where nothing has come and nobody is to wait.
        """
        if not select.select([self.zygote], [], [], STUCK if wait else 0.0)[0]:
            self.is_open = self.is_open and not wait
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        message, pidfds, _, _ = socket.recv_fds(self.zygote, 64, 1)
        what, _, text = message.decode().partition(" ")
        if what == "made":
            process = Process(int(text), pidfds[0], self.ordered.popleft())
            self.selector.register(process.channel, selectors.EVENT_READ, process)
            self.spare.append(process)
        elif what == "none":
            self.ordered.popleft().close()
            self.full_until = time.monotonic() + 1.0
        elif what == "ended":
            return text
        else:  # it has died, and there are no sessions without it
            self.is_open = False
            raise OSError(errno.ECHILD, "the process that forks sessions has died")
        return None

    def new_session(self) -> Process:
        """A session, locked and waiting. Raises OSError where there is no room for it."""
        while not self.spare:
            if not self.ordered:
                self.order()
            self.listen()
            if not self.spare and not self.ordered:
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return self.spare.popleft()

    def ending(self, process: Process) -> str:
        """How a session's process has ended; empty where it lives on."""
        self.zygote.send(f"death {process.pid}".encode())
        while (how := self.listen()) is None:
            pass
        return how

    def read(self, process: Process) -> None:
        """One message of a session: the reply to what it runs, junk, or its end."""
        try:
            message = process.channel.recv(LARGEST_MESSAGE)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self.end_process(process, "killed", "")
            return
        reply = self.understood(process, message)
        if reply is None:
            process.junk += 1
            if process.junk > JUNK:
                self.end_process(process, "killed", "the session sent too many messages that answered nothing")
            return
        request, (kind, text) = process.running, reply
        assert request is not None
        process.running = None
        self.running.discard(process.name)
        self.signal(process, signal.SIGSTOP)  # no clock watches it until its next block
        if request.interrupted:
            self.answer(request, "timeout", f"{text}\n{self.over_time()}".lstrip("\n"))
        elif kind == "interrupted":
            self.answer(request, "error", f"{text}\nKeyboardInterrupt".lstrip("\n"))
        else:
            self.answer(request, kind, text)
        if process.waiting:
            self.ready.append(process)

    def understood(self, process: Process, message: bytes) -> tuple[str, str] | None:
        """(kind, text) of a reply to the block that runs now; None for anything else."""
        try:
            reply = json.loads(message)
            kind, text = reply["kind"], reply["text"]
            mine = process.running is not None and secrets.compare_digest(reply["id"], process.running.id)
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        if not mine or kind not in ("ok", "error", "interrupted") or not isinstance(text, str):
            return None
        text = text[: 2 * self.options["output_characters"] + 200]
        return kind, text.encode("utf-8", "replace").decode()

    def end_process(self, process: Process, status: str, text: str) -> None:
        """A session has died or is to: answer for its blocks, and leave nothing of it."""
        how = ""
        with contextlib.suppress(OSError):
            how = self.ending(process)
        self.end(process)
        if process.name is None:
            self.spare.remove(process)
            return
        self.sessions[process.name] = None
        self.running.discard(process.name)
        if process.running is not None:
            self.answer(process.running, status, text or f"the session died{how and f' ({how})'}", is_dead=True)
        for request in process.waiting:
            self.answer(request, "killed", "the session is dead")

    def end(self, process: Process) -> None:
        """Kill a session's process and free what is held of it; it is reaped when it has gone (see reap)."""
        self.signal(process, signal.SIGKILL)
        self.selector.unregister(process.channel)
        process.channel.close()
        self.selector.register(process.pidfd, selectors.EVENT_READ, process.pid)

    def reap(self, pidfd: int, pid: int) -> None:
        self.selector.unregister(pidfd)
        os.close(pidfd)
        with contextlib.suppress(OSError):
            self.zygote.send(f"reap {pid}".encode())

    def close(self, name: int) -> None:
        """End a session that is needed no more; blocks that it still has are answered as killed."""
        process = self.sessions.pop(name, None)
        if process is None:
            return
        self.running.discard(name)
        self.end(process)
        for request in (*([process.running] if process.running else []), *process.waiting):
            self.answer(request, "killed", "the session was closed")
