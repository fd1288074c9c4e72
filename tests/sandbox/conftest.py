"""What attacks are run against: a sandbox owned by root or by an ordinary user, and an outside that must stay as it is.

The sandbox's owner is a process of its own (driver.py), so that one test process sees to both users.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import secrets
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import namedtuple
from pathlib import Path

import pytest

from scdpo.sandbox.bubblewrap import package_folders

UNPRIVILEGED = 65534
SETTINGS = {"seconds": 1.0, "memory_mb": 256, "bubblewrap": "off"}
DRIVER = Path(__file__).with_name("driver.py")
KINDS = ("import math", "import numpy")
"""A block for each of the sandbox's servers."""
PATIENCE = 20.0
"""Seconds after which a sandbox that says nothing counts as stuck."""

Answer = namedtuple("Answer", "text status")


def packages():
    """This process's packages, without the standard library, which another Python has its own of."""
    libraries = tuple(f"{prefix}/lib/python" for prefix in {sys.base_prefix, sys.base_exec_prefix})
    return os.pathsep.join(path for path in package_folders() if "-packages" in path or not path.startswith(libraries))


class Owner:
    """A process that owns a sandbox. user: whose it is; None: that of the tests."""

    def __init__(self, user=None, variables=None, descriptors=0, python=None, **settings):
        self.folder = Path(tempfile.mkdtemp(prefix="scdpo-owner-"))  # for what it cannot tidy up where it is killed
        self.folder.chmod(0o777)
        environment = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": packages(), "TMPDIR": str(self.folder)}
        who = {} if user is None else {"user": user, "group": user, "extra_groups": []}
        self.complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        try:
            self.process = subprocess.Popen(
                [python or sys.executable, "-P", str(DRIVER), json.dumps(SETTINGS | settings), str(descriptors)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.complaints,
                cwd="/",
                env=environment | (variables or {}),
                **who,
            )
        except OSError:
            self.folder.rmdir()
            raise
        self.sessions = 100
        self.received = b""
        self.hello = self.heard(60)

    def heard(self, seconds=PATIENCE):
        while b"\n" not in self.received:
            ready, _, _ = select.select([self.process.stdout], [], [], seconds)
            assert ready, "the sandbox says nothing any more"
            part = os.read(self.process.stdout.fileno(), 1 << 20)
            assert part, f"the sandbox's owner has died: {self.last_complaint()}"
            self.received += part
        line, _, self.received = self.received.partition(b"\n")
        return json.loads(line)

    def last_complaint(self):
        self.complaints.seek(0)
        return (self.complaints.read().decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]

    def call(self, name, *words):
        self.process.stdin.write(json.dumps([name, *words]).encode() + b"\n")
        self.process.stdin.flush()
        return self.heard()

    def submit(self, ticket, session, code):
        self.call("submit", ticket, session, code)

    def poll(self, seconds=0.0):
        return {ticket: Answer(text, status) for ticket, text, status in self.call("poll", seconds)}

    def close(self, session):
        self.call("close", session)

    def new_session(self):
        self.sessions += 1
        return self.sessions

    def ask(self, session, *blocks):
        """The answers to blocks of one session, one after another."""
        answers = []
        for number, code in enumerate(blocks):
            ticket = f"{session}.{number}"
            self.submit(ticket, session, code)
            found, end = {}, time.monotonic() + PATIENCE
            while ticket not in found:
                assert time.monotonic() < end, "a block is not answered"
                found |= self.poll(1)
            answers.append(found[ticket])
        return answers

    @property
    def servers(self):
        """The processes that it has started: the fork servers (or bubblewraps around them)."""
        return sorted(pid for pid, (parent, _, state, _) in processes().items() if parent == self.process.pid and state != "Z")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self.process.communicate(timeout=10)
        self.kill()
        self.complaints.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def processes():
    """pid -> (parent, session, state, processor seconds) of every process."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                words = (folder / "stat").read_text().rpartition(")")[2].split()
                found[int(folder.name)] = (int(words[1]), int(words[3]), words[0], (int(words[11]) + int(words[12])) / 100)
    return found


def family(servers):
    """The processes below the servers or in their sessions (those too whose parent has died): pid -> processor seconds."""
    found = processes()
    inside = set(servers) & set(found)
    while True:
        sessions = {found[pid][1] for pid in inside} | set(servers)
        more = {pid for pid, (parent, session, _, _) in found.items() if parent in inside or session in sessions}
        if more <= inside:
            return {pid: found[pid][3] for pid in inside}
        inside |= more


def alive(pids):
    """Those of the processes that have not ended; who reaps them is another question."""
    found = processes()
    return {pid for pid in pids if pid in found and found[pid][2] != "Z"}


def within(seconds, happens):
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while not (true := happens()) and time.monotonic() < end:
        time.sleep(0.01)
    return true


def settled(count):
    """The value that count() keeps for a fifth of a second."""
    seen, since = count(), time.monotonic()
    while time.monotonic() < since + 0.2:
        time.sleep(0.01)
        if (now := count()) != seen:
            seen, since = now, time.monotonic()
    return seen


class Outside:
    """What no session may read, change or reach, and the sandbox under attack. After a hole both are made anew."""

    def __init__(self, user=None, python=None, **settings):
        self.user, self.python, self.settings = user, python, settings
        self.owner = None
        self.start()

    def start(self):
        self.secret = secrets.token_hex(12)
        self.folder = Path(tempfile.mkdtemp(prefix="scdpo-outside-"))
        self.folder.chmod(0o777)
        self.secret_file, self.canary = self.folder / "secret", self.folder / "canary"
        self.secret_file.write_text(self.secret)
        self.canary.write_text("must not change")
        inside = UNPRIVILEGED if os.geteuid() == 0 else os.geteuid()  # could do all of it, were there no sandbox
        for file in (self.secret_file, self.canary):
            os.chown(file, inside, -1)
            file.chmod(0o644)
            os.utime(file, ns=(10**18, 10**18))
        tcp, udp, abstract = self.listeners = [
            socket.create_server(("127.0.0.1", 0)),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
            socket.socket(socket.AF_UNIX),
        ]
        udp.bind(("127.0.0.1", 0))
        abstract.bind(f"\0scdpo-{self.secret[:6]}")
        abstract.listen()
        self.places = {"TCP": tcp.getsockname(), "UDP": udp.getsockname(), "ABSTRACT": abstract.getsockname()}
        self.before = self.looks()
        self.owner = Owner(self.user, {"SCDPO_SECRET": self.secret}, python=self.python, **self.settings)
        for code in KINDS:  # a server starts with the first session that needs it
            self.owner.ask(1, code)
            self.owner.close(1)
        self.servers = self.owner.servers
        self.family = settled(lambda: len(family(self.servers)))

    def stop(self):
        self.owner.stop()
        self.owner = None
        for listener in self.listeners:
            listener.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def looks(self):
        """Everything about the files that an attack could change."""
        return {
            file.name: (
                file.read_text(),
                status.st_mode,
                status.st_uid,
                status.st_mtime_ns,
                status.st_ctime_ns,
                status.st_nlink,
            )
            for file in sorted(self.folder.iterdir())
            for status in [file.lstat()]
        }

    def names(self):
        """The first lines of an attack: where things are."""
        places = self.places | {
            "SECRET_FILE": str(self.secret_file),
            "CANARY": str(self.canary),
            "FOLDER": str(self.folder),
            "TESTS": os.getpid(),
            "OWNER": self.owner.process.pid,
            "SERVER": self.servers[0],
            "SIBLING": self.sibling_pid,
        }
        return "\n".join(f"{name} = {place!r}" for name, place in places.items())

    @contextlib.contextmanager
    def witnessed(self):
        """What happens inside must be held: siblings, fresh sessions, files, sockets, processes and servers say so after."""
        if self.owner is None:
            self.start()
        try:
            self.siblings = [self.owner.new_session() for _ in KINDS]
            for sibling, code in zip(self.siblings, KINDS, strict=True):
                *_, answer = self.owner.ask(sibling, code, "import os\nkept = 11\nos.getpid()")
                self.sibling_pid = int(answer.text)
            yield
            self.check()
        except BaseException:
            self.stop()
            raise

    def check(self):
        """Raise AssertionError for what was not held."""
        owner = self.owner
        for sibling in self.siblings:
            assert owner.ask(sibling, "kept * 2") == [Answer("22", "ok")], "a sibling's answer is wrong"
        assert owner.servers == self.servers, "a server has died"
        fresh = [owner.new_session() for _ in KINDS]
        for session, code in zip(fresh, KINDS, strict=True):
            answers = owner.ask(session, code, "from fractions import Fraction\nprint(Fraction(1, 2))")
            assert answers == [Answer("", "ok"), Answer("1/2", "ok")], "a fresh session's answer is wrong"
        for session in (*self.siblings, *fresh):
            owner.close(session)
        assert self.looks() == self.before, "a file outside has changed"
        assert not select.select(self.listeners, [], [], 0)[0], "something came through a socket"
        assert within(3, lambda: len(family(self.servers)) == self.family), "processes are left"

    def equipped(self, code):
        """An attack with its tools, that knows where things are."""
        return f"{self.names()}\n{TOOLS}\n{code}"

    def attack(self, session, *blocks):
        """The answers to an attack's blocks; none of them has seen the secret or found a hole."""
        answers = self.owner.ask(session, *map(self.equipped, blocks))
        for answer in answers:
            assert self.secret not in answer.text, "the secret was read"
            assert "HOLE" not in answer.text, answer.text
        return answers


# What attacks share. They say HOLE where something goes through that must not, and nothing else, as output is cut.
TOOLS = """
import ctypes, os, sys
def tried(what, action, *words, **options):
    try:
        found = action(*words, **options)
    except Exception:
        return
    print("HOLE", what, repr(found)[:200])
LIBC = ctypes.CDLL(None, use_errno=True)
def system_call(what, number, *words):
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in words]
    if (found := LIBC.syscall(ctypes.c_long(number), *words)) != -1:
        print("HOLE", what, found)
def held_request():
    # (descriptor, id) of the request that runs now, wherever the session keeps them
    frame = sys._getframe()
    while frame is not None and not isinstance(frame.f_locals.get("request"), dict):
        frame = frame.f_back
    return (frame.f_locals["channel"], frame.f_locals["request"]["id"]) if frame else (3, "")
def answer_myself(text):
    import json
    channel, name = held_request()
    os.write(channel, json.dumps({"id": name, "kind": "ok", "text": text}).encode())
    return channel
"""


def ordinary_python():
    """(a Python that an ordinary user may run with our packages, None) or (None, why there is none).

    Root's own Python often lies under /root, where nobody else may look; a system's Python of the same version does as well.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    reasons = []
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        try:
            owner = Owner(UNPRIVILEGED, python=python)
        except OSError as error:
            reasons.append(f"{python}: {error.strerror}")
        except AssertionError as error:
            reasons.append(f"{python}: {error}")
        else:
            owner.stop()
            return python, None
    return None, f"user {UNPRIVILEGED} can run no Python with our packages here ({'; '.join(reasons)})"


@pytest.fixture(scope="session", params=["root", "ordinary user"])
def outside(request):
    """A sandbox that root started (and that then became an ordinary user), and one that an ordinary user started."""
    user = python = None
    if request.param == "root" and os.geteuid() != 0:
        pytest.skip(f"the tests run as {pwd.getpwuid(os.geteuid()).pw_name}, not as root")
    if request.param == "ordinary user" and os.geteuid() == 0:
        user = UNPRIVILEGED
        python, reason = ordinary_python()
        if python is None:
            pytest.skip(reason)
    world = Outside(user, python)
    yield world
    if world.owner is not None:
        world.stop()


@pytest.fixture(scope="session")
def outside_bubblewrap():
    """A sandbox inside bubblewrap."""
    world = Outside(bubblewrap="auto")
    if (reason := world.owner.hello["optional"].get("bubblewrap")) is not None:  # absent, or there and not working
        world.stop()
        pytest.skip(reason)
    yield world
    if world.owner is not None:
        world.stop()
