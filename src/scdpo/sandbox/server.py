"""A fork server's main program: a warm interpreter that loads what sessions share, locks itself in, and serves.

Run as `python -m scdpo.sandbox.server DESCRIPTOR OPTIONS` with a clean environment (see fork_server). The first message on the
socket DESCRIPTOR says which layers of isolation are in force, and what a session could do that it must not.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import socket
import sys
from typing import Any

from scdpo.sandbox.layers import EXEC_TEST, LAYERS, SELF_TEST, Locks, drop_root, hide, make_filter, make_ruleset, mapped_bytes
from scdpo.sandbox.preload import load
from scdpo.sandbox.supervisor import Request, Server
from scdpo.sandbox.zygote import start_zygote

OWN_SPACE = 16 << 20
"""Bytes that a session may need itself, before its code."""


def self_test(options: dict[str, Any], zygote: socket.socket) -> str:
    """What a session could do here and must not; empty where it is held."""
    told, ended = tried(SELF_TEST, options, zygote), tried(EXEC_TEST, options, zygote)
    could = told["text"].splitlines() if (told["status"], told["text"]) != ("ok", "") else []
    if ended["status"] != "ok":
        could.append("run a program")
    return ", ".join(could)


def tried(code: str, options: dict[str, Any], zygote: socket.socket) -> dict[str, Any]:
    """The reply to a block of a session of its own."""
    client, own = socket.socketpair()
    with client:
        server = Server(own, zygote, options)
        server.take(0, Request(0, code))
        client.setblocking(False)
        answer = bytearray()
        while not answer and server.is_open:
            server.step()
            with contextlib.suppress(BlockingIOError):
                answer += client.recv(1 << 16)
        server.end_all()
        server.selector.close()
        own.close()
    reply: dict[str, Any] = json.loads(answer[4:])
    return reply


def main(descriptor: int, options: dict[str, Any]) -> None:
    client = socket.socket(fileno=descriptor)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write("800")  # where memory runs out, the sessions go first
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # two descriptors a session
    ruleset, landlock = make_ruleset()
    filter, seccomp = make_filter()
    modules_missing = load(options)
    in_force: dict[str, str] = {"resource limits": f"{options['memory_mb']} MB a session"}
    missing: dict[str, str] = {}
    why = drop_root()
    (missing if why else in_force)["ordinary user"] = why or f"user {os.geteuid()}"
    hide()
    for name, layer, note in (("Landlock", ruleset, landlock), ("seccomp", filter, seccomp)):
        (missing if layer is None else in_force)[name] = note
    space = mapped_bytes() + OWN_SPACE + (options["memory_mb"] << 20)
    locks = Locks(space, ruleset, filter)
    gc.collect()
    gc.freeze()
    gc.disable()
    os.environ.clear()
    zygote = start_zygote(options, locks, client)
    server = Server(client, zygote, options)
    server.say(
        {
            "layers": {name: in_force[name] for name in LAYERS if name in in_force},
            "missing": missing,
            "not_held": self_test(options, zygote),
            "modules_missing": modules_missing,
        }
    )
    os.dup2(0, 2)  # errors at the start are the client's to show; later ones are nobody's
    server.loop()


if __name__ == "__main__":
    main(int(sys.argv[1]), json.loads(sys.argv[2]))
