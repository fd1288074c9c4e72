"""The zygote: a warm process that forks the sessions. It sees no code and no output, so none is in a session's memory."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

from scdpo.sandbox.layers import Locks, die_with_parent, lock
from scdpo.sandbox.session import Session, serve


def be_zygote(control: socket.socket, options: dict[str, Any], locks: Locks) -> None:
    """Fork sessions for the supervisor and wait for their ends. Told by it: "fork", "death" of a process, or "reap" it."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 64, 1)
        if not message:
            return
        order, _, pid = message.decode().partition(" ")
        if order == "fork":
            fork(control, descriptors[0], options, locks)
        elif order == "death":
            control.send(f"ended {death(int(pid))}".encode())
        else:
            os.waitpid(int(pid), 0)


def fork(control: socket.socket, channel: int, options: dict[str, Any], locks: Locks) -> None:
    """A new session on `channel`, locked and waiting; its number and its pidfd go to the supervisor, or nothing but "none"."""
    zygote, pidfd = os.getpid(), -1
    try:
        pid = os.fork()
        if pid == 0:
            try:
                die_with_parent()
                if os.getppid() == zygote:
                    be_session(channel, options, locks)
            finally:
                os._exit(1)
        pidfd = os.pidfd_open(pid)
        socket.send_fds(control, [f"made {pid}".encode()], [pidfd])
    except OSError:
        control.send(b"none")
    finally:
        for descriptor in (channel, pidfd):
            if descriptor >= 0:
                os.close(descriptor)


def start_zygote(options: dict[str, Any], locks: Locks, client: socket.socket) -> socket.socket:
    """The socket to a zygote, which dies with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = os.getpid()
    if os.fork() == 0:
        try:
            die_with_parent()
            ours.close()
            client.close()
            if os.getppid() == server:
                be_zygote(theirs, options, locks)
        finally:
            os._exit(1)
    theirs.close()
    return ours


def be_session(channel: int, options: dict[str, Any], locks: Locks) -> None:
    """What the forked process does for the rest of its life."""
    session = Session(options["output_characters"], options["echo"], options["traceback"] == "full")
    lock(locks, channel, session.raw)
    serve(channel, session)


def death(pid: int) -> str:
    """How a process that is dying or dead has ended; it can still be waited for. Empty where it lives on."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    if found is None:
        return ""
    return (
        f"exit status {found.si_status}" if found.si_code == os.CLD_EXITED else signal.strsignal(found.si_status) or "a signal"
    )
