"""Where a layer is missing nothing runs, unless the user takes the risk; then it is said what is missing.

The layers are taken away by a seccomp filter in a process of its own, which the sandbox's server inherits.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from scdpo.sandbox.sandbox import Sandbox
from scdpo.sandbox.settings import SandboxSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux")

WITHOUT = """
import errno, json, sys
import seccompy
from scdpo.errors import SandboxError
from scdpo.sandbox.sandbox import Sandbox
from scdpo.sandbox.settings import SandboxSettings

hidden = seccompy.Filter(default=seccompy.Action.ALLOW)
for name in json.loads(sys.argv[1]):
    hidden.errno(name, errno.ENOSYS)
hidden.load()
sandbox = Sandbox(SandboxSettings(bubblewrap="off", unsafe_no_isolation=json.loads(sys.argv[2])))
try:
    described = sandbox.start().described()
    print(json.dumps([described, [(output.text, output.status) for output in sandbox.run(["x = 41", "x + 1"])]]))
except SandboxError as error:
    print(json.dumps(str(error)))
sandbox.stop()
"""
CALLS = {"Landlock": ["landlock_create_ruleset"], "seccomp": ["seccomp"]}
MISSING = [("Landlock",), ("seccomp",), ("Landlock", "seccomp")]


def without(layers, unsafe):
    """What a sandbox says where the layers' system calls are hidden: an error's text, or (description, answers)."""
    calls = [call for layer in layers for call in CALLS[layer]]
    command = [sys.executable, "-c", WITHOUT, json.dumps(calls), json.dumps(unsafe)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("layers", MISSING, ids=" and ".join)
def test_missing_layer_is_refused(layers):
    """The error names what is missing, and only that, and the cure."""
    message = without(layers, unsafe=False)
    assert isinstance(message, str), f"ran without {layers}: {message}"
    assert "code would run without isolation" in message
    for layer in CALLS:
        assert (f"{layer}: the kernel has none" in message) == (layer in layers)
    assert "--unsafe-no-isolation" in message


@pytest.mark.parametrize("layers", MISSING, ids=" and ".join)
def test_missing_layer_is_named_where_the_risk_is_taken(layers):
    """Code runs, and the description (for the manifest) names each missing layer as missing and no other one."""
    described, answers = without(layers, unsafe=True)
    assert answers == [["", "ok"], ["42", "ok"]]
    for layer in CALLS:
        assert any(line.startswith(f"MISSING: {layer} (") for line in described) == (layer in layers)
        assert any(line.startswith(f"{layer} (") for line in described) == (layer not in layers)


def test_self_test_tells_what_a_session_could_do():
    """Without its two great layers a session reads files and starts processes; the self-test finds it and says so."""
    described, _ = without(("Landlock", "seccomp"), unsafe=True)
    (found,) = (line for line in described if line.startswith("MISSING: self-test"))
    for ability in ("open a file", "look at a file", "open a socket", "run a program"):
        assert ability in found


@pytest.mark.parametrize(
    ("program", "reason"),
    [("echo 'no new namespaces' >&2; exit 1", "no new namespaces"), ("exec sleep 60", "no answer within 1 s")],
)
def test_a_bubblewrap_that_does_not_work_is_named(tmp_path, monkeypatch, program, reason):
    """One that refuses and one that hangs: its reason is told, it is tried once, and the other layers hold."""
    false = tmp_path / "bwrap"
    false.write_text(f"#!/bin/sh\necho . >> {tmp_path}/tries\n{program}\n")
    false.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("scdpo.sandbox.bubblewrap.PROBE_SECONDS", 1)
    tries = []
    for _ in range(2):
        with Sandbox(SandboxSettings()) as sandbox:
            assert reason in sandbox.start().optional["bubblewrap"]
            assert sandbox.run(["6 * 7"])[0].text == "42"
        tries.append((tmp_path / "tries").read_text())
    assert tries[0] == tries[1]
