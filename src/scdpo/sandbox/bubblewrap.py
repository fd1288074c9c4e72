"""bubblewrap around the fork server: namespaces of its own for files, processes and network, where the system allows it.

One layer more, never the only one: it is refused in most containers and on some distributions.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")
NAMESPACES = ("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--new-session")
ROOT = ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
PROBE_SECONDS = 20
NEEDED = ("scdpo", "landlockpy", "seccompy", "numpy", "scipy", "sympy", "mpmath")


def bubblewrap(folders: Sequence[str]) -> tuple[list[str], str]:
    """(the words to put before a command, bubblewrap's version) or ([], why it cannot be used).

    folders: what the command sees of the disk besides the system's own programs and libraries, read-only.
    """
    program = shutil.which("bwrap")
    if sys.platform != "linux" or program is None:
        return [], "bubblewrap is not installed"
    prefix = [program, *NAMESPACES]
    # Root needs no user namespace, and keeps what it takes to become an ordinary user inside.
    prefix += ROOT if os.geteuid() == 0 else ("--unshare-user",)
    prefix += ("--tmpfs", "/tmp")  # first: packages may lie below it
    for folder in (*SYSTEM, sys.prefix, sys.base_prefix, *folders):
        prefix += ["--ro-bind-try", folder, folder]
    prefix += ("--proc", "/proc", "--dev", "/dev", "--chdir", "/tmp")
    works, note = _tried(tuple(prefix))
    return (prefix if works else []), note


@lru_cache
def _tried(prefix: tuple[str, ...]) -> tuple[bool, str]:
    """(whether these words start a command here, bubblewrap's version or why they do not). Once a process: it may hang."""
    command = [*prefix, sys.executable, "-I", "-S", "-c", ""]
    try:
        tried = subprocess.run(command, capture_output=True, timeout=PROBE_SECONDS, stdin=subprocess.DEVNULL)
        version = subprocess.run([prefix[0], "--version"], capture_output=True, text=True, timeout=PROBE_SECONDS).stdout
    except subprocess.TimeoutExpired:
        return False, f"bubblewrap does not work here (no answer within {PROBE_SECONDS} s)"
    except OSError as error:
        return False, f"bubblewrap does not work here ({error})"
    if tried.returncode:
        reason = tried.stderr.decode(errors="replace").strip().splitlines()
        return False, f"bubblewrap does not work here ({reason[-1] if reason else f'exit status {tried.returncode}'})"
    return True, "".join(re.findall(r"[\d.]+", version)[:1])


def is_installed(name: str) -> bool:
    """Whether a package of this name can be found; a module within a package cannot be named here."""
    return name.isidentifier() and importlib.util.find_spec(name) is not None


def package_folders(modules: Sequence[str] = ()) -> list[str]:
    """Where a fresh interpreter finds the standard library, what the server needs, and what sessions may import."""
    paths = sysconfig.get_paths()
    folders = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    for name in (*NEEDED, *modules):
        spec = importlib.util.find_spec(name) if is_installed(name) else None
        if spec is not None and spec.origin is not None:
            folders.append(str(Path(spec.origin).parents[1 if spec.submodule_search_locations else 0]))
    return [folder for folder in dict.fromkeys(folders) if Path(folder).is_dir()]
