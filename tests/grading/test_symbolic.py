"""Symbolic mathematics in a process of its own: right, bounded in time and memory, replaced when it is lost."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scdpo.grading.algebra import equal_by_value
from scdpo.grading.grade import grade
from scdpo.grading.hostile import too_costly
from scdpo.grading.symbolic import GRACE, SymbolicGrader

DEEP = "(" * 60 + "5" + ")" * 60
HOSTILE = [
    "9^{9^{9^9}}", "10^{10^{10}}", "7^{123456789}", "1000000!", "(1000!)!", "5!!!!!", r"\binom{10^9}{5\cdot10^8}", DEEP,
    r"\sum_{n=1}^{10^{9}} n", r"\sum_{n=1}^{999999} \frac{1}{n}", r"\prod_{k=1}^{999} (x+k)", "(10^{9999})^{9999}",
    "{" * 300 + "5" + "}" * 300, r"\frac{" * 100, r"\boxed{" * 30_000, "{" * 1_000_000, "$" * 1_000_000, "5," * 500_000,
    "x" * 1_000_000, "The answer is " * 70_000, "#### " * 200_000, "a\n" * 500_000, r"\sqrt{" * 30 + "2" + "}" * 30,
    "\x00\x01", "5\ud800", "__import__('os').system('touch PWNED')", "exec('import os')", "lambda: 1", "1" * 100_000,
    "^" * 300, "x_{" * 60 + "}" * 60, "0." + "3" * 390, "1e400", "1e999999999999", "汉" * 300, "汉 " * 190, "1:" * 190,
    r"\pm" * 100, "(1,2)," * 60, "x<" * 190, r"\frac{1}{" * 60 + "2" + "}" * 60, "one " * 90, "2^{2^{2^{2^{2}}}}",
]  # fmt: skip


@pytest.fixture(scope="module")
def grader():
    with contextlib.closing(SymbolicGrader(seconds=2.0)) as grader:
        grader.ask("x < y", "y > x")
        yield grader


def is_running(pid) -> bool:
    """Whether a process is there and has not ended (an orphan may wait for its end to be taken note of)."""
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("gold", ["5", r"\sqrt{2} + x", r"\text{Evelyn}"])
def test_hostile_answers_get_a_verdict_within_the_clock(grader, gold, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for answer in HOSTILE:
        began = time.monotonic()
        verdict = grade(answer, gold, ask=grader.ask)
        assert time.monotonic() - began < 2 * (grader.seconds + GRACE), answer[:40]
        assert not verdict.is_correct or answer in (DEEP, "{" * 300 + "5" + "}" * 300), answer[:40]
    assert grade("x+1", "1+x", ask=grader.ask).is_correct
    assert not list(Path().iterdir())


def test_a_lost_worker_is_replaced_and_harms_no_other_item(grader):
    assert grader.ask("x < y", "y > x").same
    replaced = grader.replaced
    os.kill(grader.worker, signal.SIGKILL)
    time.sleep(0.2)
    assert grader.ask(r"\sin(2x)", r"2 \sin x \cos x").same is None
    assert grader.ask(r"\cos(2x)", r"1 - 2\sin^2 x").same
    assert grader.replaced == replaced + 1


def test_a_lost_keeper_is_replaced_too():
    with contextlib.closing(SymbolicGrader()) as grader:
        assert grader.ask("x < y", "y > x").same
        for lost in ([grader.process.pid], [grader.process.pid, grader.worker], [grader.worker]):
            for pid in lost:
                os.kill(pid, signal.SIGKILL)
        assert grader.ask(r"\sin(2x)", r"2 \sin x \cos x").same in (None, True)
        assert grader.ask(r"\cos(2x)", r"1 - 2\sin^2 x").same


def test_a_worker_that_hangs_is_killed():
    with contextlib.closing(SymbolicGrader(seconds=0.3)) as grader:
        assert grader.ask("x < y", "y > x").same
        os.kill(grader.worker, signal.SIGSTOP)
        began = time.monotonic()
        match = grader.ask(r"\sin(2x)", r"2 \sin x \cos x")
        assert (match.same, match.reason) == (None, "took too long to compare")
        assert time.monotonic() - began < 0.3 + GRACE + 3
        assert grader.ask(r"\cos(2x)", r"1 - 2\sin^2 x").same


def test_memory_is_bounded():
    """With too little room for the work, the answer is undecided and the next one is graded."""
    with contextlib.closing(SymbolicGrader(seconds=5.0, megabytes=400)) as grader:
        match = grader.ask(r"(x+y+z+w+v+u)^{90}", r"\sin(x)^{3} + y")
        assert match.same is None or match.same is False
        limits = Path(f"/proc/{grader.worker}/limits").read_text()
        assert str(400 << 20) in next(line for line in limits.splitlines() if "address space" in line)
        assert grader.ask("x < y", "y > x").same


def test_the_processes_do_not_outlive_a_killed_parent():
    code = (
        "import os, time; from scdpo.grading.symbolic import SymbolicGrader as S; g = S(); g.ask('x < y', 'y > x');"
        "print(g.process.pid, g.worker, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pids = parent.stdout.readline().split()
        parent.kill()
    time.sleep(0.5)
    assert len(pids) == 2 and not any(map(is_running, pids))


def test_the_processes_end_with_the_grader():
    grader = SymbolicGrader()
    assert grader.ask("x < y", "y > x").same
    keeper, worker = grader.process.pid, grader.worker
    grader.close()
    time.sleep(0.2)
    assert not any(map(is_running, (keeper, worker)))


@pytest.mark.parametrize(
    ("prediction", "gold", "same"),
    [
        (r"\ln 9", r"2\ln 3", True),
        (r"\frac{1+3i}{5}", r"\frac{1}{5} + \frac{3}{5}i", True),
        (r"e^{i\pi}", "-1", True),
        (r"\sin^2 x + \cos^2 x", "1", True),
        (r"|x|", "x", False),
        (r"\infty", "3", False),
        (r"e^{\pi\sqrt{163}}", "262537412640768744", False),
        ("3x - 6y = 9", "x - 2y = 3", True),
        ("x - 2y = 4", "x - 2y = 3", False),
        ("x", r"\lg 100", None),
        ("1/0", "3", None),
    ],
)
def test_symbolic_mathematics(grader, prediction, gold, same):
    assert grader.ask(prediction, gold).same is same


@pytest.mark.parametrize(
    ("prediction", "gold", "same"),
    [
        (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}", True),
        ("(x+1)^2", "x^2+2x+1", True),
        ("(x-1)^{20}", "(1-x)^{20}", True),
        ("(x-1)^{21}", "(1-x)^{21}", False),
        (r"4\pi", r"\pi", False),
        ("ab", "ba", True),
        (r"\sqrt[3]{4}", "2^{2/3}", True),
        ("1/2x", r"\frac{x}{2}", None),
        (r"2\frac{1}{3}", r"\sqrt{2}", None),
        ("f(2)", "2", None),
        ("x^{9999}", "x", None),
        ("3.1415926", r"\pi", None),
        ("1+i", "i+1", None),
        ("cats", "dogs", None),
    ],
)
def test_equal_by_value(prediction, gold, same):
    """Only what is read in one way is decided; the rest is left to Math-Verify."""
    assert equal_by_value(prediction, gold) is same


@pytest.mark.parametrize(
    "answer", ["9^{9^9}", "2^{100000}", "5000!", r"\sum_{k=1}^{5000} k", "{{5}", "x" * 401, "(" * 30, "7" * 70]
)
def test_what_is_not_computed(answer):
    assert too_costly(answer)


@pytest.mark.parametrize("answer", [r"x^{96}", "5!", r"\binom{10}{3}", r"\sum_{k=1}^{20} k", r"\frac{1}{2^{10}}", "2^{n+1}"])
def test_what_is_computed(answer):
    assert too_costly(answer) is None
