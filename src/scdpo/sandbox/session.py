"""One solution's session: runs its blocks, one after another, in a namespace that stays.

What runs in the forked and locked process (see zygote), with the standard library alone. Requests and replies are one JSON
message each on a socket that keeps messages apart; a reply carries its request's id.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import ctypes
import gc
import io
import json
import linecache
import os
import random
import signal
import sys
import traceback
import types
from typing import Any

LARGEST_MESSAGE = 1 << 18
RECURSION_LIMIT = 1000
FLUSH = ctypes.CDLL(None).fflush


class CappedText(io.TextIOBase):
    """A text stream that keeps its first `most` characters and counts the rest."""

    encoding = "utf-8"

    def __init__(self, most: int) -> None:
        self.most, self.size = most, 0
        self.parts: list[str] = []

    def begin(self) -> None:
        """Forget everything; code that holds the stream writes into the next block."""
        self.size, self.parts = 0, []

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        kept = text[: max(0, self.most - self.size)]
        if kept:
            self.parts.append(kept)
        self.size += len(text)
        return len(text)

    def text(self) -> str:
        """What was kept, with a note where something was cut."""
        text = "".join(self.parts)
        return text if self.size <= self.most else f"{text}\n[output cut: {self.most:,} of {self.size:,} characters]\n"


class Session:
    """The namespace of a solution and the way its blocks run. echo, full_traceback: see SandboxSettings."""

    def __init__(self, most: int, echo: str, full_traceback: bool) -> None:
        self.most, self.echo, self.full_traceback = most, echo, full_traceback
        self.main = types.ModuleType("__main__")
        self.main.__dict__["__builtins__"] = builtins
        sys.modules["__main__"] = self.main
        self.blocks = 0
        self.running = False
        self.captured = CappedText(most)
        self.raw, written = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for descriptor in (1, 2):
            os.dup2(written, descriptor)
        random.seed(0)  # the standard library's is seeded again in a fork
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed(0)

    def warm(self) -> None:
        """Run something, so that the memory which every block touches is this process's own before the first one comes."""
        self.run("print(1)\n1 / 1")
        self.main.__dict__.pop("_", None)
        self.blocks = 0

    def run(self, code: str) -> tuple[str, str]:
        """Run one block. Returns ("ok", "error" or "interrupted", its output)."""
        self.blocks += 1
        self.captured.begin()
        sys.stdout = sys.stderr = self.captured
        sys.stdin = io.StringIO()
        sys.setrecursionlimit(RECURSION_LIMIT)
        signal.signal(signal.SIGINT, self._interrupt)
        kind = "error"
        try:
            self.running = True
            kind = self._execute(code, f"<block {self.blocks}>")
            self.running = False
        except KeyboardInterrupt:  # in the midst of reporting an exception
            kind = "interrupted"
        except BaseException:  # an exception that cannot even be reported
            kind = "error"
        self.running = False
        sys.settrace(None)
        sys.setprofile(None)
        sys.setrecursionlimit(RECURSION_LIMIT)
        return kind, (self.captured.text() + self._raw_output()).rstrip("\n")

    def _execute(self, code: str, name: str) -> str:
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        try:
            tree = ast.parse(code, name)
            last = tree.body.pop() if self.echo != "none" and tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, name, "exec"), self.main.__dict__)
            if isinstance(last, ast.Expr):
                self._show(eval(compile(ast.Expression(last.value), name, "eval"), self.main.__dict__))
        except SystemExit as leaving:
            if leaving.code in (None, 0):
                return "ok"
            self.captured.write(f"SystemExit: {leaving.code}\n")
            return "error"
        except KeyboardInterrupt:
            return "interrupted"
        except BaseException as error:
            self._report(error)
            return "error"
        return "ok"

    def _show(self, value: Any) -> None:
        if value is None:
            return
        self.main.__dict__["_"] = value
        if self.echo == "pretty":
            from IPython.lib.pretty import pretty

            self.captured.write(pretty(value) + "\n")
        else:
            self.captured.write(repr(value) + "\n")

    def _report(self, error: BaseException) -> None:
        """The exception as the model sees it, without our own frames."""
        if self.captured.parts and not self.captured.parts[-1].endswith("\n"):
            self.captured.write("\n")
        if not self.full_traceback:
            lines = traceback.format_exception_only(error)
            self.captured.write(lines[-1] if isinstance(error, SyntaxError) else "".join(lines))
            return
        frames = error.__traceback__
        while frames is not None and not frames.tb_frame.f_code.co_filename.startswith("<block "):
            frames = frames.tb_next
        self.captured.write("".join(traceback.format_exception(type(error), error, frames)))

    def _raw_output(self) -> str:
        """What went to the descriptors 1 and 2 themselves."""
        parts = []
        FLUSH(None)
        with contextlib.suppress(OSError):
            while part := os.read(self.raw, 1 << 16):
                parts.append(part)
        return b"".join(parts).decode("utf-8", "replace")[: self.most]

    def _interrupt(self, *_: object) -> None:
        if self.running:
            raise KeyboardInterrupt


def serve(channel: int, session: Session) -> None:
    """Answer requests on the socket `channel` until it closes."""
    read, write, loads, dumps = os.read, os.write, json.loads, json.dumps
    session.warm()
    loads(dumps({"id": ""}, ensure_ascii=False).encode())
    gc.enable()
    while message := read(channel, LARGEST_MESSAGE):
        request = loads(message)
        kind, text = session.run(request["code"])
        text = text.encode("utf-8", "replace").decode()
        write(channel, dumps({"id": request["id"], "kind": kind, "text": text}, ensure_ascii=False).encode())
