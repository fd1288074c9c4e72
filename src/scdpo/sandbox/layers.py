"""The layers that keep a session in: each is put in force by one function, and found missing by its name.

A session loses, in this order: root's identity (once, in the server), resources, the file system and the network (Landlock),
and every system call but some thirty (seccomp). It keeps what computing needs: memory, clocks, its own three descriptors. Knows
no session and no protocol.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
UNPRIVILEGED = 65534
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = 2
LANDLOCK_RESTRICT_SELF = 446  # the same number on every architecture
PROT_EXEC = 4
MAP_TYPE, MAP_PRIVATE = 0xF, 2
CLOCKS = 16
"""The system's own clocks are numbered below this; all others are those of processes and devices."""
TERMINAL_ATTRIBUTES = 0x5401
FCNTL_GETFD, FCNTL_SETFD, FCNTL_GETFL = 1, 2, 3

# What computing needs. No file is opened or looked at by its name, nothing is made executable, nobody else is reached.
ALLOWED = (
    "read",
    "write",
    "close",
    "lseek",
    "fstat",
    "munmap",
    "mremap",
    "madvise",
    "brk",
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "sigaltstack",
    "restart_syscall",
    "futex",
    "getpid",
    "gettid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "sched_yield",
    "nanosleep",
    "gettimeofday",
    "time",
    "times",
    "getrusage",
    "getrandom",
    "exit",
    "exit_group",
)

LAYERS = ("ordinary user", "resource limits", "Landlock", "seccomp")
"""All of these must be in force; "bubblewrap" comes on top where it works."""


@dataclass(frozen=True, slots=True)
class Locks:
    """What a session is locked with: made once, in the server, with the libraries; each session only makes the system calls.

    space: the most bytes of address space; ruleset, filter: None where the layer is missing.
    """

    space: int
    ruleset: Any
    filter: FilterProgram | None


class FilterProgram:
    """A compiled seccomp filter as the kernel takes it (struct sock_fprog)."""

    def __init__(self, instructions: bytes) -> None:
        class Program(ctypes.Structure):
            _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

        self.instructions = ctypes.create_string_buffer(instructions, len(instructions))
        self.program = Program(len(instructions) // 8, ctypes.addressof(self.instructions))


def drop_root() -> str | None:
    """Become an ordinary user for good. Returns why that cannot be, or None."""
    if os.geteuid() != 0 and os.getuid() != 0:
        return None
    try:
        os.setgroups([])
        os.setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
        os.setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
    except OSError as error:
        return f"root cannot become user {UNPRIVILEGED} here ({error.strerror})"
    return None


def make_ruleset() -> tuple[Any, str]:
    """(a Landlock ruleset that allows no file, no TCP and no signal to others, "ABI n") or (None, why there is none)."""
    try:
        import landlockpy
    except ImportError:
        return None, "the package landlockpy is not installed"
    try:
        abi = landlockpy.abi_version()
    except OSError as error:
        return None, f"{error.strerror}"
    if not abi:
        return None, "the kernel has none (Linux 5.13 and newer have it, if it is not switched off)"
    scope = landlockpy.Scope.SIGNAL | landlockpy.Scope.ABSTRACT_UNIX_SOCKET
    return landlockpy.Ruleset(scoped=scope), f"ABI {abi}"


def make_filter() -> tuple[FilterProgram | None, str]:
    """(a seccomp filter that allows ALLOWED and fails everything else, "n system calls") or (None, why there is none)."""
    try:
        import seccompy
        from seccompy.syscalls import syscall_nr
    except ImportError:
        return None, "the package seccompy is not installed"
    try:
        if not seccompy.supported():
            return None, "the kernel has none, or this container forbids it"
    except OSError as error:
        return None, f"{error.strerror}"
    filter = seccompy.Filter(default=int(seccompy.Action.ERRNO) | errno.EPERM)
    known = []
    for name in ALLOWED:
        with contextlib.suppress(ValueError, KeyError, OSError):  # not every architecture has all of them
            syscall_nr(name)
            known.append(name)
    for name in known:
        filter.allow(name)
    no_execution = [seccompy.ArgCmp(2, seccompy.CmpOp.MASKED_EQ, 0, mask=PROT_EXEC)]
    # Shared memory would outlive its addresses, which are what is limited.
    private = seccompy.ArgCmp(3, seccompy.CmpOp.MASKED_EQ, MAP_PRIVATE, mask=MAP_TYPE)
    filter.allow("mmap", args=[*no_execution, private])
    for name in ("clock_gettime", "clock_getres", "clock_nanosleep"):
        filter.allow(name, args=[seccompy.ArgCmp(0, seccompy.CmpOp.LT, CLOCKS)])
    filter.allow("sched_getaffinity", args={0: 0})
    filter.allow("mprotect", args=no_execution)
    filter.allow("ioctl", args={1: TERMINAL_ATTRIBUTES})
    for command in (FCNTL_GETFD, FCNTL_SETFD, FCNTL_GETFL):
        filter.allow("fcntl", args={1: command})
    return FilterProgram(filter.program), f"{len(known) + 8} system calls"


def lock(locks: Locks, *keep: int) -> None:
    """Put every layer in force in this process, for good, and close all descriptors above 2 but those to keep."""
    limit_resources(locks.space)
    check(LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if locks.ruleset is not None:
        check(LIBC.syscall(LANDLOCK_RESTRICT_SELF, locks.ruleset.fileno(), 0))
    start = 3
    for descriptor in (*sorted(keep), 1 << 20):
        os.closerange(start, descriptor)
        start = descriptor + 1
    if locks.filter is not None:
        check(LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(locks.filter.program), 0, 0))


def check(result: int) -> None:
    """Raise OSError for a system call that failed."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def limit_resources(space: int) -> None:
    """No core, no files, no processes, `space` bytes of addresses."""
    for name, limit in (
        ("RLIMIT_AS", space),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_NOFILE", 16),
        ("RLIMIT_NPROC", 0),
        ("RLIMIT_MEMLOCK", 0),
        ("RLIMIT_MSGQUEUE", 0),
    ):
        if hasattr(resource, name):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(getattr(resource, name), (limit, limit))


def mapped_bytes() -> int:
    """The address space that this process has mapped."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 32


def die_with_parent() -> None:
    check(LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0))


def hide() -> None:
    """No other process of this user may look into this one or its children, and none of them dumps its memory."""
    check(LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))


# Run in a session at the start: names what it could do and must not. Running a program would end it, and comes by itself.
SELF_TEST = """
import os, socket, _thread
def tried(name, action):
    try:
        action()
    except BaseException:
        return
    print(name)
tried("open a file", lambda: open("/etc/passwd"))
tried("look at a file", lambda: os.stat("/etc/passwd"))
tried("list a folder", lambda: os.listdir("/"))
tried("write a file", lambda: open("/tmp/scdpo-self-test", "w"))
tried("open a socket", lambda: socket.socket())
tried("start a process", lambda: os.fork() or os._exit(0))
tried("start a thread", lambda: _thread.start_new_thread(print, ()))
tried("signal another process", lambda: os.kill(os.getppid(), 0))
"""
EXEC_TEST = """
import os
try:
    os.execv("/bin/true", ["true"])
except OSError:
    pass
"""
