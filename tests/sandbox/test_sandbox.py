"""The sandbox as its users see it: state, statuses, limits, order, and sessions that move to the full server."""

import os
import resource
import signal
import time

import pytest

from scdpo.errors import SandboxError
from scdpo.sandbox.preload import WARM_UP
from scdpo.sandbox.sandbox import Sandbox
from scdpo.sandbox.settings import SandboxSettings


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(SandboxSettings(seconds=1.0, memory_mb=256, output_characters=200, code_characters=5000)) as sandbox:
        yield sandbox


def texts(outputs) -> list[str]:
    return [output.text for output in outputs]


def statuses(outputs) -> list[str]:
    return [output.status for output in outputs]


def test_state_is_kept_over_blocks_and_no_further(sandbox):
    outputs = sandbox.run(["x = 2\nprint(x)", "x += 1\nx", "def f(n):\n    return n * x", "f(7)"])
    assert texts(outputs) == ["2", "3", "", "21"] and statuses(outputs) == ["ok"] * 4
    assert texts(sandbox.run(["x"])) == ["NameError: name 'x' is not defined"]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("from fractions import Fraction\nFraction(1, 3) + Fraction(1, 6)", "Fraction(1, 2)"),
        ("import itertools, math\nprint(math.comb(5, 2), len(list(itertools.permutations('abc'))))", "10 6"),
        ("import numpy as np\nprint(np.linalg.det(np.array([[1., 2.], [3., 4.]])).round(6))", "-2.0"),
        ("from sympy import *\nx = symbols('x')\nprint(solve(x**2 - 5*x + 6, x))", "[2, 3]"),
        ("from scipy.optimize import brentq\nprint(round(brentq(lambda x: x**2 - 2, 0, 2), 6))", "1.414214"),
        ("import scipy.stats as st\nprint(round(st.binom.pmf(2, 5, 0.5), 4))", "0.3125"),
        ("from sympy.physics.units import meter\nprint(meter)", "meter"),
        ("import statistics, json, datetime, collections, decimal\nprint(statistics.median([1, 2, 9]))", "2"),
        ("import random\nrandom.random()", "0.8444218515250481"),
        ("sorted({'b', 'a'}) == list({'a': 1, 'b': 2}), hash('a')", None),
    ],
)
def test_what_mathematics_needs_works(sandbox, code, text):
    """And is the same in every session: hashes and the random generator begin alike."""
    first, second = sandbox.run([code])[0], sandbox.run([code])[0]
    assert first.status == "ok" and first.text == second.text
    assert text is None or first.text == text


@pytest.mark.parametrize(
    ("code", "status", "text"),
    [
        ("1 / 0", "error", "ZeroDivisionError: division by zero"),
        ("print('a', end='')\nraise ValueError('b\\nc')", "error", "a\nValueError: b\nc"),
        ("for", "error", "SyntaxError: invalid syntax"),
        ("import sys\nprint(1)\nsys.exit()", "ok", "1"),
        ("import sys\nsys.exit('no')", "error", "SystemExit: no"),
        ("exit()", "ok", ""),
        ("input('? ')", "error", "? \nEOFError: EOF when reading a line"),
        ("import os\nos.write(1, b'raw'); None", "ok", "raw"),
        ("print('\\ud800')", "ok", "?"),
        ("import nothing_like_it", "error", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("print('x' * 300)", "ok", "x" * 200 + "\n[output cut: 200 of 301 characters]"),
        ("raise KeyboardInterrupt", "error", "KeyboardInterrupt"),
        ("class E(Exception):\n    def __str__(self): raise E\nraise E", "error", "E: <exception str() failed>"),
        ("x" * 5001, "refused", "a block of 5,001 characters; 5,000 are allowed"),
        ("print('\ud800')", "refused", "the block is not text that can be encoded"),
        ("import sys\nsys.setrecursionlimit(5)\nprint(1)", None, None),
        ("def f(): f()\nf()", "error", "RecursionError: maximum recursion depth exceeded"),
    ],
)
def test_what_a_block_gives(sandbox, code, status, text):
    """And the block after it answers as if nothing had been."""
    output, after = sandbox.run([code, "print(6 * 7)"])
    assert (after.text, after.status) == ("42", "ok")
    assert status is None or (output.status, output.text) == (status, text)


def test_a_loop_is_stopped_and_its_session_goes_on(sandbox):
    """Partial output and state stay; nothing of the stopped block appears in a later one."""
    loop = "n = 0\nprint('begun')\nwhile True:\n    n += 1"
    stopped, after, last = sandbox.run([loop, "n > 100", "print('last')"])
    assert (stopped.status, stopped.text) == ("timeout", "begun\nTimeoutError: stopped after 1 seconds")
    assert 1.0 <= stopped.seconds < 2.0
    assert texts([after, last]) == ["True", "last"]


def test_a_session_that_will_not_stop_is_killed(sandbox):
    stubborn = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    stopped, after = sandbox.run([stubborn, "print(1)"])
    assert statuses([stopped, after]) == ["timeout", "killed"]
    assert texts(sandbox.run(["print(2)"])) == ["2"]


def test_memory_is_bounded(sandbox):
    outputs = sandbox.run(["x = bytearray(100 << 20)\nlen(x)", "y = bytearray(300 << 20)", "print(len(x))"])
    assert texts(outputs) == ["104857600", "MemoryError", "104857600"]


def test_many_sessions_at_once_each_with_its_own(sandbox):
    """Two hundred sessions, their blocks mixed; tickets name the outputs."""
    for place in range(3):
        for session in range(200):
            sandbox.submit((session, place), session, f"x = {session}" if place == 0 else "x += 1\nx")
    found = {}
    while len(found) < 600:
        found |= dict(sandbox.poll(None))
    assert all(found[session, 2].text == str(session + 2) for session in range(200))
    for session in range(200):
        sandbox.close(session)
    sandbox.submit("again", 7, "x")
    assert sandbox.poll(None)[0][1].status == "error"
    sandbox.close(7)


def test_a_session_moves_when_it_needs_more(sandbox):
    """From the standard library to the full server: the state is made again, and no output comes twice."""
    sandbox.submit("a", 1, "x = 3\nprint('once')")
    assert texts(output for _, output in sandbox.poll(None)) == ["once"]
    sandbox.submit("b", 1, "import sympy\nprint(sympy.Integer(x) / 2)")
    sandbox.submit("c", 1, "x")
    found = {}
    while len(found) < 2:
        found |= dict(sandbox.poll(None))
    assert (found["b"].text, found["c"].text) == ("3/2", "3")
    sandbox.close(1)


def test_a_module_asked_for_in_a_roundabout_way_is_found(sandbox):
    """The text names no package; the light server misses it, and the blocks after wait for the full one's answer."""
    blocks = ["y = 5", "m = __import__('sym' + 'py')", "print(m.Integer(y))", "1 / 0", "y"]
    assert texts(sandbox.run(blocks)) == ["", "", "5", "ZeroDivisionError: division by zero", "5"]


def test_a_lost_server_is_replaced():
    """Killed in its zygote, it ends: its sessions are dead, what they owed is killed; new ones work."""
    with Sandbox(SandboxSettings(seconds=5)) as sandbox:
        sandbox.submit("a", 1, "x = 1")
        sandbox.poll(None)
        sandbox.submit("b", 1, "while True: pass")
        time.sleep(0.2)
        os.kill(server_of(sandbox), signal.SIGKILL)
        assert [(ticket, output.status) for ticket, output in sandbox.poll(None)] == [("b", "killed")]
        while False in sandbox.servers:  # it may answer before it ends
            sandbox.poll(0.05)
        sandbox.submit("c", 1, "x")
        assert [(ticket, output.status) for ticket, output in sandbox.poll(None)] == [("c", "killed")]
        assert texts(sandbox.run(["print(3)"])) == ["3"]


def server_of(sandbox) -> int:
    """The light server's process that has sessions below it, inside bubblewrap too."""
    process = sandbox.servers[False].process.pid
    while children := open(f"/proc/{process}/task/{process}/children").read().split():  # noqa: PTH123, SIM115
        if b"scdpo.sandbox.server" in open(f"/proc/{children[0]}/cmdline", "rb").read() and is_session(children[0]):  # noqa: PTH123, SIM115
            break
        process = int(children[0])
    return process


def is_session(process: str) -> bool:
    """Sessions have a system call filter; servers have none."""
    return "Seccomp:\t2" in open(f"/proc/{process}/status").read()  # noqa: PTH123


@pytest.mark.parametrize(
    ("settings", "code", "text"),
    [
        ({"echo": "none"}, "print(1)\n2", "1"),
        ({"echo": "pretty"}, "{'b' * 50: list(range(20)), 'a': {1, 2}}", None),
        ({"traceback": "full"}, "def f():\n    return 1 / 0\nf()", None),
    ],
)
def test_the_form_of_outputs_is_a_choice(settings, code, text):
    if settings.get("echo") == "pretty":
        pytest.importorskip("IPython", reason="the package ipython is not installed")
    with Sandbox(SandboxSettings(**settings)) as sandbox:
        found = sandbox.run([code])[0].text
    if text is not None:
        assert found == text
    elif "echo" in settings:
        assert found.count("\n") > 10, "IPython breaks long containers over lines"
    else:
        lines = found.splitlines()
        assert lines[0].startswith("Traceback") and lines[-1] == "ZeroDivisionError: division by zero"
        assert '  File "<block 1>", line 2, in f' in lines and "    return 1 / 0" in lines
        assert "session.py" not in found


def test_a_package_that_is_not_there_is_named():
    with (
        pytest.raises(SandboxError, match="nothing_like_it"),
        Sandbox(SandboxSettings(modules=("nothing_like_it",))) as sandbox,
    ):
        sandbox.run(["import nothing_like_it"])


def test_a_further_package_can_be_allowed():
    with Sandbox(SandboxSettings(modules=("tomli_w",))) as sandbox:
        assert texts(sandbox.run(["import tomli_w\nprint(tomli_w.dumps({'a': 1}))"])) == ["a = 1"]


def test_a_number_used_again_owes_nothing_to_its_last_session(sandbox):
    """A session that died while it moved, then closed: the next one of its number lives."""
    sandbox.submit("a", 5, "if 'nu' + 'mpy' in __import__('sys').modules: raise ValueError")
    sandbox.submit("b", 5, "import numpy, time\ntime.sleep(0.3)")
    sandbox.close(5)
    sandbox.submit("c", 5, "print(7)")
    found = {}
    while "c" not in found:
        found |= dict(sandbox.poll(None))
    sandbox.submit("d", 5, "print(8)")
    assert (found["c"].text, sandbox.poll(None)[0][1].text) == ("7", "8")
    sandbox.close(5)


def test_a_process_with_many_descriptors():
    """select() knows none above 1023; a trainer may have more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip(f"this user may have {hard} descriptors only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2000, hard))
    held = []
    try:
        held += [os.dup(0) for _ in range(1100)]
        with Sandbox(SandboxSettings()) as sandbox:
            assert texts(sandbox.run(["print(1)"])) == ["1"]
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_warm_up_runs():
    """The server passes over an error in it, which would cost every session the time that it saves."""
    exec(WARM_UP, {})
