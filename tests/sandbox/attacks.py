"""The attacks that are one block each: what each tries, and how its block may end. Knows no sandbox (see test_attacks).

A block says HOLE where something went through. Names in capitals and functions such as `tried` come from conftest's TOOLS.
"""

from __future__ import annotations

from dataclasses import dataclass

from seccompy.syscalls import syscall_nr

from scdpo.sandbox.layers import ALLOWED

FINE = frozenset({"ok"})
DEAD = frozenset({"killed"})


@dataclass(frozen=True)
class Attack:
    """name: what is tried. ends: the statuses that its block may have. stays: whether the session must still be there after.

    once: it takes seconds and does not depend on the user, so one of them is enough.
    """

    name: str
    code: str
    ends: frozenset[str] = FINE
    stays: bool = True
    once: bool = False


def number(name):
    """A system call's number on this machine; one that does not exist where the machine lacks it."""
    try:
        return syscall_nr(name)
    except (ValueError, KeyError, OSError):
        return 100_000


def calls(*lines):
    """A block of raw system calls, each given as a name and the words after the number."""
    return "\n".join(f"system_call({name!r}, {number(name)}, {words})" for name, words in lines)


BUFFER = "ctypes.create_string_buffer(4096)"
FILE = "SECRET_FILE.encode()"
HERE = -100  # AT_FDCWD

TIME = [
    Attack("infinite loop", "while True:\n    pass", frozenset({"timeout"})),
    Attack("sleep", "import time\ntime.sleep(1000)", frozenset({"timeout"}), once=True),
    Attack("huge power", "n = 9\nn**n**n", frozenset({"timeout"}), stays=False, once=True),
    Attack("hang in machine code", "import itertools\nall(itertools.repeat(1))", frozenset({"timeout"}), stays=False),
    Attack(
        "loop that catches interrupts",
        """
import time
while True:
    try:
        while True:
            time.sleep(0.01)
    except BaseException:
        pass
""",
        frozenset({"timeout"}),
        stays=False,
        once=True,
    ),
    Attack(
        "hang that hears no signal",
        """
import signal
for number in set(range(1, 65)) - {9, 19, 32, 33}:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
while True:
    pass
""",
        frozenset({"timeout"}),
        stays=False,
        once=True,
    ),
]

MEMORY = [
    Attack(
        "memory bomb in lists",
        """
held = []
while len(held) < 2000:
    held.append(bytearray(b"x") * (1 << 20))
print("HOLE", len(held), "MB")
""",
        frozenset({"error", "killed", "timeout"}),
        stays=False,
    ),
    Attack(
        "memory bomb in one piece",
        """
import numpy
tried("array", lambda: numpy.ones(1 << 28))
tried("bytes", lambda: len(bytes(1 << 31)))
tried("text", lambda: len("x" * (1 << 31)))
tried("integer", lambda: (1 << (1 << 33)).bit_length())
tried("range", lambda: len(list(range(1 << 30))))
""",
    ),
    Attack(
        # munmap frees addresses, but shared memory stays as long as one page of it is mapped.
        "memory bomb in shared memory",
        """
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
LIBC.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
size, held = 128 << 20, 0
for _ in range(6):
    place = LIBC.mmap(None, size, 3, 0x21, -1, 0)
    if place in (None, 2**64 - 1):
        break
    ctypes.memset(place, 1, size)
    LIBC.munmap(place + 4096, size - 4096)
    held += size >> 20
if held > 300:
    print("HOLE", held, "MB of memory")
""",
    ),
    Attack("deep recursion", "def down(): return down()\ndown()", frozenset({"error"})),
    Attack(
        "endless recursion",
        "import sys\nsys.setrecursionlimit(10**9)\ndef down(): return down()\ndown()",
        frozenset({"error", "killed", "timeout"}),
        stays=False,
        once=True,
    ),
    Attack(
        "endless recursion in machine code",
        "import sys\nsys.setrecursionlimit(10**9)\nnest = []\nfor _ in range(10**6): nest = [nest]\nrepr(nest)",
        frozenset({"error", "killed", "timeout"}),
        stays=False,
        once=True,
    ),
    Attack(
        "recursion in the compiler", "compile('(' * 10**5 + ')' * 10**5, '', 'eval')", frozenset({"error", "killed"}), False
    ),
    Attack("segmentation fault", "ctypes.string_at(0)", DEAD, stays=False),
    Attack("illegal instruction", "ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.create_string_buffer(16)))()", DEAD, False),
]

PROCESSES = [
    Attack(
        "fork bomb",
        """
import multiprocessing, subprocess, time
def child():
    if os.fork() == 0:
        time.sleep(5)
        os._exit(0)
    return "forked"
for _ in range(20):
    tried("fork", child)
tried("forkpty", os.forkpty)
tried("posix_spawn", os.posix_spawn, "/bin/sleep", ["sleep", "5"], {})
tried("subprocess", subprocess.Popen, ["/bin/sleep", "5"])
tried("popen", os.popen, "sleep 5")
tried("system", lambda: os.system("sleep 5") and 1 / 0)
tried("multiprocessing", multiprocessing.get_context("fork").Process(target=time.sleep, args=(5,)).start)
"""
        + calls(
            ("fork", ""), ("vfork", ""), ("clone", "17, 0, 0, 0, 0"), ("clone3", f"{BUFFER}, 88"), ("unshare", "0x10000000")
        ),
    ),
    Attack(
        "thread bomb",
        """
import _thread, threading, time
from concurrent.futures import ThreadPoolExecutor
for _ in range(50):
    tried("thread", _thread.start_new_thread, time.sleep, (5,))
tried("threading", threading.Thread(target=time.sleep, args=(5,), daemon=True).start)
tried("timer", threading.Timer(5, print).start)
tried("pool", ThreadPoolExecutor(4).submit, time.sleep, 5)
""",
    ),
    Attack(
        "exec",
        """
import subprocess
tried("execv", os.execv, "/bin/true", ["true"])
tried("execve", os.execve, sys.executable, ["python", "-c", "print(1)"], {})
tried("execvp", os.execvp, "true", ["true"])
tried("run", subprocess.run, ["true"])
tried("check_output", subprocess.check_output, "echo 1", shell=True)
tried("memfd", os.memfd_create, "program")
"""
        + calls(("execve", 'b"/bin/true", 0, 0'), ("execveat", f'{HERE}, b"/bin/true", 0, 0, 0'), ("memfd_create", 'b"x", 0')),
    ),
    Attack(
        "signals to others",
        """
import signal
for pid in (TESTS, OWNER, SERVER, SIBLING, os.getppid(), -SERVER, -1, 0, 1):
    for number in (0, signal.SIGCONT):
        tried(f"kill {pid}", os.kill, pid, number)
tried("killpg", os.killpg, 0, 0)
tried("pidfd", os.pidfd_open, SIBLING)
"""
        + calls(
            *((name, f"{pid}, 0") for name in ("kill", "tkill") for pid in ("OWNER", "SERVER", "SIBLING")),
            ("tgkill", "SIBLING, SIBLING, 0"),
            ("rt_sigqueueinfo", f"SIBLING, 0, {BUFFER}"),
            ("pidfd_open", "SIBLING, 0"),
            ("pidfd_send_signal", "3, 0, 0, 0"),
        ),
    ),
    Attack(
        "clocks of others",
        """
import time
for pid in (TESTS, OWNER, SERVER, SIBLING):
    tried(f"processor time of {pid}", time.clock_gettime, ~pid << 3 | 2)
    tried(f"processors of {pid}", os.sched_getaffinity, pid)
""",
    ),
    Attack(
        "tracing others",
        calls(
            ("ptrace", "0, 0, 0, 0"),
            *(("ptrace", f"{request}, {pid}, 0, 0") for request in (16, 0x4206) for pid in ("OWNER", "SERVER", "SIBLING")),
            *((name, f"SIBLING, {BUFFER}, 1, {BUFFER}, 1, 0") for name in ("process_vm_readv", "process_vm_writev")),
            ("process_madvise", f"3, {BUFFER}, 1, 4, 0"),
            ("kcmp", "OWNER, SERVER, 0, 0, 0"),
            ("pidfd_getfd", "3, 0, 0"),
            ("perf_event_open", f"{BUFFER}, SIBLING, -1, -1, 0"),
            ("get_robust_list", f"SIBLING, {BUFFER}, {BUFFER}"),
            ("prlimit64", f"SIBLING, 7, 0, {BUFFER}"),
            ("sched_setaffinity", f"SIBLING, 128, {BUFFER}"),
            ("setpriority", "0, SIBLING, 19"),
        ),
    ),
]

FILES = [
    Attack(
        "change files outside",
        """
import pathlib, shutil, tempfile
canary, new = pathlib.Path(CANARY), pathlib.Path(FOLDER, "new")
tried("write", lambda: open(CANARY, "w"))
tried("append", lambda: open(CANARY, "a"))
tried("create", lambda: open(new, "x"))
tried("os.open", lambda: os.open(new, os.O_CREAT | os.O_RDWR))
tried("unnamed", lambda: os.open(FOLDER, os.O_TMPFILE | os.O_RDWR))
tried("tempfile", tempfile.TemporaryFile)
tried("mkdtemp", tempfile.mkdtemp)
tried("mkdir", new.mkdir)
tried("delete", canary.unlink)
tried("rmtree", shutil.rmtree, FOLDER)
tried("rename", canary.rename, new)
tried("replace", os.replace, SECRET_FILE, CANARY)
tried("symlink", os.symlink, CANARY, new)
tried("link", os.link, CANARY, new)
tried("mkfifo", os.mkfifo, new)
tried("truncate", os.truncate, CANARY, 0)
tried("chmod", os.chmod, CANARY, 0o777)
tried("chmod folder", os.chmod, FOLDER, 0o700)
tried("chown", os.chown, CANARY, os.getuid(), os.getgid())
tried("utime", os.utime, CANARY, (0, 0))
tried("setxattr", os.setxattr, CANARY, "user.x", b"x")
tried("chdir", os.chdir, FOLDER)
tried("copy", shutil.copy, SECRET_FILE, new)
tried("numpy", __import__("numpy").ones(3).tofile, str(new))
""",
    ),
    Attack(
        "look at files outside",
        """
import glob, pathlib
tried("stat", os.stat, SECRET_FILE)
tried("lstat", os.lstat, SECRET_FILE)
tried("access", lambda: os.access(SECRET_FILE, os.F_OK) or 1 / 0)
tried("exists", lambda: os.path.exists(SECRET_FILE) or 1 / 0)
tried("listdir", os.listdir, FOLDER)
tried("scandir", os.scandir, FOLDER)
tried("root", os.listdir, "/")
tried("proc", os.listdir, "/proc")
tried("glob", lambda: glob.glob(FOLDER + "/*")[0])
tried("readlink", os.readlink, "/proc/self/exe")
tried("getcwd", os.getcwd)
tried("statvfs", os.statvfs, FOLDER)
tried("getxattr", os.listxattr, CANARY)
""",
    ),
    Attack(
        "read a secret file",
        """
import io, linecache, mmap, pathlib, importlib.machinery, runpy, zipfile
import numpy
places = [SECRET_FILE, *(f"/proc/{pid}/root{SECRET_FILE}" for pid in ("self", TESTS, OWNER, SERVER))]
for place in [*places, "/etc/passwd", "/etc/hostname", "/proc/self/mem", "/proc/self/maps", "/proc/self/fd", "/dev/mem"]:
    tried("open " + place, lambda: open(place).read())
    tried("os.open " + place, lambda: os.read(os.open(place, os.O_RDONLY), 1000))
    tried("path only " + place, lambda: os.open(place, os.O_PATH))
    tried("FileIO", lambda: io.FileIO(place).read())
    tried("fromfile", numpy.fromfile, place, dtype="u1")
    tried("memmap", numpy.memmap, place)
    tried("loader", importlib.machinery.SourceFileLoader("secret", place).get_data, place)
    tried("run", runpy.run_path, place)
    print(linecache.getlines(place))
LIBC.fopen.restype = ctypes.c_void_p
print(LIBC.fopen(SECRET_FILE.encode(), b"r") and "HOLE fopen")
tried("CDLL", ctypes.CDLL, SECRET_FILE.replace("secret", "canary"))
"""
        + calls(
            ("open", f"{FILE}, 0, 0"),
            ("openat", f"{HERE}, {FILE}, 0, 0"),
            ("openat2", f"{HERE}, {FILE}, {BUFFER}, 24"),
            ("creat", f"{FILE}, 0"),
            ("newfstatat", f"{HERE}, {FILE}, {BUFFER}, 0"),
            ("statx", f"{HERE}, {FILE}, 0, 0xfff, {BUFFER}"),
            ("stat", f"{FILE}, {BUFFER}"),
            ("lstat", f"{FILE}, {BUFFER}"),
            ("access", f"{FILE}, 0"),
            ("faccessat2", f"{HERE}, {FILE}, 0, 0"),
            ("open_by_handle_at", f"{HERE}, {BUFFER}, 0"),
            ("name_to_handle_at", f"{HERE}, {FILE}, {BUFFER}, {BUFFER}, 0"),
            ("chmod", f"{FILE}, 0"),
            ("fchmodat2", f"{HERE}, {FILE}, 0, 0"),
            ("truncate", f"{FILE}, 0"),
            ("inotify_init", ""),
        ),
    ),
    Attack(
        "read the parent's environment",
        """
LIBC.getauxval.restype = ctypes.c_void_p
name = "SCDPO_" + "SECRET"
print(os.environ, os.environb, os.getenv(name), sys.argv)
LIBC.getenv.restype = ctypes.c_char_p
print(LIBC.getenv(name.encode()))
for pid in ("self", os.getppid(), SERVER, OWNER, TESTS):
    for file in ("environ", "cmdline", "status", "maps", "fd", "mem"):
        tried(f"/proc/{pid}/{file}", lambda: open(f"/proc/{pid}/{file}", "rb").read())
program = LIBC.getauxval(31)  # its name lies above the variables that this process began with
if name.encode() in ctypes.string_at(program - 6000, 6000):
    print("HOLE on the stack")
""",
    ),
]

NETWORK = [
    Attack(
        "sockets",
        """
import asyncio, select, socket, urllib.request
tried("tcp", socket.create_connection, TCP, 0.5)
tried("server", socket.create_server, ("127.0.0.1", 0))
tried("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", UDP))
tried("abstract", lambda: socket.socket(socket.AF_UNIX).connect(ABSTRACT))
tried("pair", socket.socketpair)
for family in range(46):
    for kind in (1, 2, 3, 5):
        tried(f"family {family}", socket.socket, family, kind)
tried("name", socket.getaddrinfo, "localhost", 80)
tried("url", urllib.request.urlopen, f"http://127.0.0.1:{TCP[1]}/", timeout=0.5)
tried("asyncio", asyncio.run, asyncio.sleep(0))
tried("epoll", select.epoll)
for descriptor in range(16):
    tried(f"send on {descriptor}", lambda: socket.socket(fileno=descriptor).send(b"x"))
"""
        + calls(
            ("socket", "2, 1, 0"),
            ("connect", f"3, {BUFFER}, 16"),
            ("sendto", f"3, {BUFFER}, 1, 0, 0, 0"),
            ("sendmsg", f"3, {BUFFER}, 0"),
            ("sendmmsg", f"3, {BUFFER}, 1, 0"),
            ("recvmsg", f"3, {BUFFER}, 0x40"),
            ("recvfrom", f"3, {BUFFER}, 1, 0x40, 0, 0"),
            ("shutdown", "3, 2"),
            ("bind", f"3, {BUFFER}, 16"),
            ("splice", "0, 0, 1, 0, 1, 2"),
            ("tee", "0, 1, 1, 2"),
            ("sendfile", "1, 0, 0, 1"),
        ),
    ),
]

KERNEL = [
    Attack(
        "every other system call",
        # uretprobe and uprobe (335, 336) are outside seccomp by the kernel's own rule; they kill or fail where nobody traces.
        f"""
allowed = {sorted(number(name) for name in (*ALLOWED, "mmap", "mprotect", "ioctl", "fcntl"))}
for base in (0, 0x40000000):
    for n in range(480):
        if base or n not in (*allowed, 335, 336):
            system_call(f"call {{base + n}}", base + n, -1, 0, 0, 0, 0, 0)
            assert ctypes.get_errno() == 1
print("none")
""",
    ),
    Attack(
        "raw calls that reach out",
        calls(
            ("io_uring_setup", f"8, {BUFFER}"),
            ("bpf", f"0, {BUFFER}, 64"),
            ("userfaultfd", "0"),
            ("keyctl", "0, -3, 0"),
            ("add_key", f'b"user", b"x", {BUFFER}, 1, -3'),
            ("shmget", "0, 4096, 0x3b6"),
            ("shmat", "0, 0, 0"),
            ("semget", "0, 1, 0x3b6"),
            ("msgget", "0, 0x3b6"),
            ("mq_open", 'b"x", 0x42, 0x1ff, 0'),
            ("eventfd2", "0, 0"),
            ("signalfd4", f"-1, {BUFFER}, 8, 0"),
            ("timerfd_create", "1, 0"),
            ("timer_create", f"1, 0, {BUFFER}"),
            ("alarm", "1000"),
            ("setitimer", f"0, {BUFFER}, 0"),
            ("pipe2", f"{BUFFER}, 0"),
            ("dup", "1"),
            ("dup3", "1, 9, 0"),
            ("setuid", "0"),
            ("setresuid", "0, 0, 0"),
            ("setgroups", "0, 0"),
            ("setsid", ""),
            ("setns", "3, 0"),
            ("personality", "0xffffffff"),
            ("arch_prctl", f"0x1003, {BUFFER}"),
            ("seccomp", f"0, 0, 0, {BUFFER}"),
            ("landlock_create_ruleset", "0, 0, 1"),
            ("setrlimit", f"9, {BUFFER}"),
            ("pkey_alloc", "0, 0"),
            ("remap_file_pages", "0, 4096, 0, 0, 0"),
            ("mlockall", "1"),
            ("mount", f"{FILE}, {FILE}, 0, 0x1000, 0"),
            ("chroot", 'b"/"'),
            ("acct", FILE),
            ("syslog", f"3, {BUFFER}, 4096"),
            ("uname", f"{BUFFER}"),
            ("sysinfo", f"{BUFFER}"),
            *(
                ("prctl", f"{option}, {value}, 0, 0, 0")
                for option, value in ((1, 0), (4, 1), (3, 0), (38, 0), (0x59616D61, -1))
            ),
        ),
    ),
    Attack(
        "controls of descriptors",
        f"""
for descriptor in range(16):
    for command in (0, 4, 5, 6, 7, 8, 10, 15, 1024, 1026, 1030, 1031, 1033, 1 << 32 | 8):
        word = 0x2000 if command == 4 else OWNER
        system_call(f"fcntl {{descriptor}} {{command}}", {number("fcntl")}, descriptor, command, word)
    for request in (0x5412, 0x5402, 0x540E, 0x541B, 0x5421, 0x5452, 0x8902, 0x8904, 0x541D, 0x5423, 1 << 32 | 0x5412):
        system_call(f"ioctl {{descriptor}} {{request}}", {number("ioctl")}, descriptor, request, {BUFFER})
""",
    ),
    Attack(
        "memory that can be executed",
        f"""
import mmap
page = 4096
place = ctypes.addressof(ctypes.create_string_buffer(3 * page)) // page * page + page
for protection in (4, 5, 6, 7, 1 << 32 | 7):
    system_call("mmap", {number("mmap")}, 0, page, protection, 0x22, -1, 0)
    system_call("mprotect", {number("mprotect")}, place, page, protection)
    system_call("pkey_mprotect", {number("pkey_mprotect")}, place, page, protection, -1)
tried("mmap", lambda: mmap.mmap(-1, page, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC))
tried("closure", lambda: ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1)())
""",
    ),
    Attack(
        "system calls of another kind",
        # `int 0x80` somewhere in the C library's code: another table of numbers, for which the filter was not made.
        r"""
start = ctypes.cast(LIBC.printf, ctypes.c_void_p).value
code = ctypes.string_at(start, 0xC0000)
place = code.find(b"\xcd\x80")
print(place)
if place >= 0:
    ctypes.CFUNCTYPE(ctypes.c_int)(start + place)()
""",
        frozenset({"ok", "killed"}),
        stays=False,
    ),
]

REPLIES = [
    Attack(
        "junk on every descriptor",
        """
import json
for descriptor in range(64):
    for guess in (0, 1, 2, None, True, "", "0", "1", "a" * 32, [], {}, "\\xe9" * 32):
        for kind in ("ok", "error", "interrupted", "timeout", None, []):
            try:
                os.write(descriptor, json.dumps({"id": guess, "ticket": guess, "kind": kind, "text": "forged"}).encode())
            except OSError:
                break
""",
        frozenset({"ok", "killed"}),
        stays=False,
    ),
    Attack(
        "huge messages",
        """
for descriptor in range(3, 64):
    for size in (10**5, 2 * 10**5, 3 * 10**5, 10**6):
        for start in (b"", b"[", b'{"id":"', b"{}", b"\\xff", b"\\x00\\x00\\xff\\xff"):
            for fill in (b"[", b"1", b" ", b"\\0", b"\\xed\\xa0\\x80"):
                try:
                    os.write(descriptor, start + (fill * size)[:size])
                except OSError:
                    pass
""",
        frozenset({"ok", "killed"}),
        stays=False,
    ),
    Attack(
        "empty messages",
        """
for descriptor in range(3, 64):
    try:
        os.write(descriptor, b"")
    except OSError:
        pass
""",
        frozenset({"ok", "killed"}),
        stays=False,
    ),
    Attack(
        "no end of messages",
        """
while True:
    for descriptor in range(3, 16):
        try:
            os.write(descriptor, b"[" + b"{}," * 50000 + b"{}]")
        except OSError:
            pass
""",
        frozenset({"killed", "timeout"}),
        stays=False,
    ),
    Attack("closed descriptors", "os.closerange(0, 64)", DEAD, stays=False),
    Attack("closed descriptors and on", "os.closerange(0, 64)\nwhile True: pass", DEAD, stays=False),
    Attack("closed outputs", "for descriptor in (0, 1, 2): os.close(descriptor)"),
    Attack(
        "replies that no text can hold",
        """
import json
channel, name = held_request()
for text in ("\\ud800", "\\udfff" * 9000, "\\0" * 9000, "x" * 10**5):
    os.write(channel, json.dumps({"id": name, "kind": "ok", "text": text}).encode())
""",
        frozenset({"ok", "killed"}),
        stays=False,
    ),
    Attack(
        "replies of wrong types",
        """
import json
channel, name = held_request()
for kind in ([], {}, None, "killed", "ok", True):
    for text in (1, None, [], {"text": "x"}):
        os.write(channel, json.dumps({"id": name, "kind": kind, "text": text}).encode())
os.write(channel, b"[" * 10**5)
os.write(channel, b'{"id": ' + b"1" * 10**5 + b"}")
os.write(channel, json.dumps(name).encode())
os.write(channel, json.dumps([name]).encode("utf-16"))
""",
        frozenset({"ok", "killed"}),
        stays=False,
    ),
]

LEAVING = [
    Attack("100 MB of output", "for _ in range(100):\n    print('x' * 10**6)"),
    Attack("100 MB in one line", "sys.stdout.write('x' * 10**8)\nprint()", frozenset({"ok", "error", "killed"}), stays=False),
    Attack("100 MB on the descriptors", "for _ in range(1600):\n    try: os.write(1, b'x' * 2**16)\n    except OSError: pass"),
    Attack("100 MB of value", "'x' * 10**8", frozenset({"ok", "error", "killed", "timeout"}), stays=False),
    Attack("100 MB of exception", "raise ValueError('x' * 10**7)", frozenset({"error"})),
    Attack(
        "a limit of output that is lifted",
        "sys.stdout.most = 10**12\nfor _ in range(20):\n    print('x' * 10**6)",
        frozenset({"ok", "killed"}),
        stays=False,
    ),
    Attack("sys.exit", "sys.exit()"),
    Attack("sys.exit with a reason", "sys.exit('enough')", frozenset({"error"})),
    Attack("exit and quit", "try: exit(1)\nfinally: quit(2)", frozenset({"error"})),
    Attack("os._exit", "os._exit(0)", DEAD, stays=False),
    Attack("os.abort", "os.abort()", DEAD, stays=False),
    Attack("system call exit", f"LIBC.syscall({number('exit_group')}, 0)", DEAD, stays=False),
    Attack("input", "input('number? ')", frozenset({"error"})),
    Attack("standard input", "sys.stdin.read(), os.read(0, 10), sys.__stdin__"),
    Attack("breakpoint", "breakpoint()", frozenset({"ok", "error"})),
    Attack("a missing module", "raise ModuleNotFoundError('numpy')", frozenset({"error"})),
    Attack(
        "a missing module and then an end",
        "if 'numpy' in sys.modules:\n    os._exit(0)\nraise ModuleNotFoundError('numpy')",
        DEAD,
        stays=False,
    ),
    Attack("a raised interrupt", "raise KeyboardInterrupt", frozenset({"error"})),
    Attack("a raised exit of a generator", "raise GeneratorExit", frozenset({"error"})),
    Attack(
        "an exception that cannot be told",
        "class Mute(BaseException):\n    def __str__(self): raise Mute\n    __repr__ = __str__\nraise Mute",
        frozenset({"error"}),
    ),
    Attack(
        "a value that cannot be told",
        "class Mute:\n    def __repr__(self): raise SystemExit(3)\nMute()",
        frozenset({"error"}),
    ),
]

FRAMEWORK = [
    Attack(
        "the session's own code replaced",
        """
frame = sys._getframe()
while frame:
    for thing in list(frame.f_locals.values()):
        for name in ("run", "_execute", "text", "_raw_output", "warm", "answer", "say", "read"):
            if hasattr(type(thing), name) and type(thing).__module__.startswith("scdpo"):
                setattr(type(thing), name, lambda *_: ("ok", "forged"))
    frame = frame.f_back
""",
        frozenset({"ok", "error", "killed"}),
        stays=False,
    ),
    Attack(
        "modules poisoned",
        """
import builtins, json
os.write = os.read = json.dumps = json.loads = os._exit = lambda *_, **__: "forged"
json.JSONEncoder.encode = json.JSONEncoder.iterencode = lambda *_: '"forged"'
for name in ("len", "str", "repr", "isinstance", "compile", "exec", "eval", "print", "open"):
    setattr(builtins, name, None)
sys.modules.clear()
""",
        frozenset({"ok", "error", "killed", "timeout"}),
        stays=False,
        once=True,
    ),
    Attack(
        "an end that is refused",
        """
os._exit = lambda *_: None
os.close(held_request()[0])
raise SystemExit
""",
        DEAD,
        stays=False,
    ),
    Attack(
        "exceptions after the block",
        """
ctypes.pythonapi.Py_AddPendingCall.restype = ctypes.c_int
ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(__import__("threading").get_ident()), ctypes.py_object(SystemExit))
""",
        frozenset({"ok", "error", "killed"}),
        stays=False,
    ),
    Attack(
        "hooks",
        """
def hook(*_):
    raise RuntimeError("hooked")
sys.settrace(hook)
sys.setprofile(hook)
sys.addaudithook(hook)
""",
        frozenset({"ok", "error", "killed"}),
        stays=False,
    ),
    Attack(
        "a collection that answers",
        "import gc\ngc.callbacks.append(lambda *_: os._exit(0))\ngc.set_threshold(1)\n[[] for _ in range(9)]",
        frozenset({"ok", "killed"}),
        stays=False,
    ),
]

ATTACKS = [*TIME, *MEMORY, *PROCESSES, *FILES, *NETWORK, *KERNEL, *REPLIES, *LEAVING, *FRAMEWORK]
