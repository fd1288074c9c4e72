"""The sandbox is attacked, by root's and by an ordinary user's sessions: whatever code does, it is held.

Held means: nothing outside is read or changed, no process is left, and the next block, siblings and fresh sessions answer right
(see conftest.Outside.witnessed).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from .attacks import ATTACKS, FILES, NETWORK, PROCESSES
from .conftest import KINDS, Answer, Owner, alive, family, packages, within

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux")

MOST_TEXT = 2 * 4000 + 200
"""What a block may give at most: what it printed and what went to the descriptors, 4000 characters each, and notes."""
HOG = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
KILLED = "killed"
once = pytest.mark.parametrize("outside", ["root" if os.geteuid() == 0 else "ordinary user"], indirect=True)
"""For what does not depend on the user."""


def by_name(attacks):
    return pytest.mark.parametrize("attack", attacks, ids=[attack.name.replace(" ", "-") for attack in attacks])


def hold(outside, attack):
    """Run an attack in a session of its own, with a state that it should or may keep."""
    with outside.witnessed():
        session = outside.owner.new_session()
        (before,) = outside.owner.ask(session, "mine = 41")
        (answer,) = outside.attack(session, attack.code)
        (after,) = outside.owner.ask(session, "print(mine + 1)")
        outside.owner.close(session)
    assert before.status == "ok"
    assert answer.status in attack.ends, answer
    assert len(answer.text) <= MOST_TEXT
    assert after == Answer("42", "ok") or (not attack.stays and after.status != "ok"), after


@by_name([attack for attack in ATTACKS if not attack.once])
def test_attack(outside, attack):
    """One block that attacks is held, and ends as it should."""
    hold(outside, attack)


@once
@by_name([attack for attack in ATTACKS if attack.once])
def test_slow_attack(outside, attack):
    """And so is one that takes its time to end."""
    hold(outside, attack)


@by_name([attack for attack in (*FILES, *NETWORK, *PROCESSES) if "bomb" not in attack.name and attack.name != "exec"])
def test_attack_inside_bubblewrap(outside_bubblewrap, attack):
    """bubblewrap comes on top of the other layers and takes none of them away."""
    hold(outside_bubblewrap, attack)


# Answers belong to their blocks


def test_output_stays_in_its_block(outside):
    """What a block printed before its time was over comes with it, and nothing of it with a later one."""
    with outside.witnessed():
        session = outside.owner.new_session()
        late = "import os\nprint('early')\nos.write(1, b'raw')\nwhile True:\n    print(end='late')\n    os.write(2, b'')"
        first, *others = outside.owner.ask(session, late, "2 + 2", "print('x')", "None", "6 * 7")
        outside.owner.close(session)
    assert first.status == "timeout"
    assert first.text.startswith("early\n")
    assert others == [Answer("4", "ok"), Answer("x", "ok"), Answer("", "ok"), Answer("42", "ok")]


@once
def test_nothing_follows_a_kill(outside):
    """A session that had to be killed answers every later block with that, at once."""
    with outside.witnessed():
        session = outside.owner.new_session()
        statuses = [answer.status for answer in outside.owner.ask(session, HOG, "print(1)", "import numpy", "print(2)")]
        outside.owner.close(session)
    assert statuses == ["timeout", KILLED, KILLED, KILLED]


@once
def test_dead_session_stays_dead(outside):
    """A session that ended itself does not come to life again where a later block wants the other server."""
    with outside.witnessed():
        session = outside.owner.new_session()
        ended = "import os, sys\nif 'num' + 'py' not in sys.modules: os._exit(0)"
        statuses = [answer.status for answer in outside.owner.ask(session, "kept = 1", ended, "import numpy", "kept")]
        outside.owner.close(session)
    assert statuses == ["ok", KILLED, KILLED, KILLED]


@once
def test_moved_session_is_the_same_or_dead(outside):
    """Blocks that end otherwise when they are run again on the full server have not made the state that was answered for."""
    with outside.witnessed():
        session = outside.owner.new_session()
        differs = "import sys\nif 'num' + 'py' in sys.modules:\n    1 / 0\nkept = 1"
        first, _, last = outside.owner.ask(session, differs, "import numpy", "kept")
        outside.owner.close(session)
    assert first.status == "ok"
    assert last == Answer("1", "ok") or last.status == KILLED, last


@once
def test_closed_number_may_be_used_again(outside):
    """What is still said of a session that was closed while it moved is not taken for its number's next one."""
    with outside.witnessed():
        owner, session = outside.owner, outside.owner.new_session()
        owner.ask(session, "import time\ntime.sleep(0.2)")
        owner.submit("moves", session, "import numpy")
        owner.close(session)
        answers = owner.ask(session, "kept = 1", "import time\ntime.sleep(0.4)", "kept")
        owner.close(session)
    assert answers == [Answer("", "ok"), Answer("", "ok"), Answer("1", "ok")]


@once
def test_output_of_machine_code_stays_in_its_block(outside):
    """What C's own buffers hold at the end of a block is that block's output."""
    with outside.witnessed():
        session = outside.owner.new_session()
        blocks = ("import ctypes\nC = ctypes.CDLL(None)", "n = C.printf(b'%s', b'first')", "n = C.fflush(None)")
        answers = outside.owner.ask(session, *blocks, "2 + 2")
        outside.owner.close(session)
    assert answers == [Answer("", "ok"), Answer("first", "ok"), Answer("", "ok"), Answer("4", "ok")]


@once
def test_kept_stream_writes_into_the_block_that_runs(outside):
    """A stream that code took hold of (logging does) still reaches the output in later blocks."""
    with outside.witnessed():
        session = outside.owner.new_session()
        set_up = "import logging\nlogging.basicConfig(format='%(message)s')"
        answers = outside.owner.ask(session, set_up, "logging.warning('one')", "logging.warning('two')")
        outside.owner.close(session)
    assert answers == [Answer("", "ok"), Answer("one", "ok"), Answer("two", "ok")]


@once
@pytest.mark.parametrize("body", ["time.sleep(9)", "while True: time.sleep(0.01)"])
def test_swallowed_interrupt_is_a_timeout(outside, body):
    """Where the clock decided what came out, the output says so, though the code caught the interrupt."""
    with outside.witnessed():
        session = outside.owner.new_session()
        code = f"import time\ntry:\n    {body}\nexcept:\n    print('no solution')"
        answer, after = outside.owner.ask(session, code, "2 + 2")
        outside.owner.close(session)
    assert (answer.status, after) == ("timeout", Answer("4", "ok")), answer


def test_block_that_ends_with_its_time():
    """Where a block ends as its interrupt is sent, each block still has its own answer, and no later one the interrupt."""
    owner = Owner(seconds=0.04)
    try:
        session = owner.new_session()
        for tenths in range(370, 430, 3):
            code = f"import time\ntime.sleep({tenths / 10_000})\n{tenths}"
            first, second = owner.ask(session, code, f"{tenths} + 1")
            for answer, right in ((first, tenths), (second, tenths + 1)):  # a busy machine may be late for the second too
                assert answer == Answer(str(right), "ok") or answer.status == "timeout", answer
    finally:
        owner.stop()


@once
@pytest.mark.parametrize("then", ["", "while True: pass", "os.closerange(0, 64)", "os._exit(0)", "os.read(channel, 1 << 18)"])
def test_forged_answer_is_of_its_own_block(outside, then):
    """A block that answers itself answers nothing else: the next block is right or the session is dead."""
    with outside.witnessed():
        session = outside.owner.new_session()
        outside.owner.ask(session, "mine = 41")
        outside.attack(session, f"channel = answer_myself('forged')\n{then}")
        after = outside.owner.ask(session, "print(mine + 1)", "2 + 2")
        outside.owner.close(session)
    rights = (Answer("42", "ok"), Answer("4", "ok"))
    for answer, right in zip(after, rights, strict=True):
        assert answer == right or answer.status in (KILLED, "timeout"), after


@once
def test_answered_session_rests(outside):
    """A block that answers itself and computes on is outside every clock: it must not go on for ever."""
    with outside.witnessed():
        sessions = [outside.owner.new_session() for _ in range(3)]
        for session in sessions:
            outside.attack(session, "answer_myself('forged')\nwhile True: pass")
        time.sleep(2.2)  # a block's time and its grace
        before = family(outside.servers)
        time.sleep(0.5)
        used = sum(seconds - before.get(pid, 0.0) for pid, seconds in family(outside.servers).items())
        for session in sessions:
            outside.owner.close(session)
    assert used < 0.2, f"{used:.2f} s of processor time in 0.5 s"


@once
def test_answers_go_to_their_askers(outside):
    """Sessions that die, hang and answer at the same time: every ticket has the answer of its own block."""
    with outside.witnessed():
        owner, found = outside.owner, {}
        bodies = {0: "{n} * 3", 1: "import os; os._exit(0)", 2: "raise ValueError({n})", 3: "import numpy; {n} * 3"}
        sessions = [owner.new_session() for _ in range(24)]
        for number, session in enumerate(sessions):
            owner.submit(number, session, bodies[number % 4].format(n=number))
            owner.submit(number + 100, session, f"{number} + 1")
        assert within(20, lambda: len(found.update(owner.poll(1)) or found) == 48), f"{len(found)} answers"
        for session in sessions:
            owner.close(session)
    for number in range(24):
        right = {1: None, 2: Answer(f"ValueError: {number}", "error")}.get(number % 4, Answer(f"{number * 3}", "ok"))
        assert found[number] == right or (right is None and found[number].status == KILLED)
        assert found[number + 100] == Answer(f"{number + 1}", "ok") or (right is None and found[number + 100].status == KILLED)


@once
def test_sibling_answers_while_others_hang(outside):
    """A block that hears nothing holds nobody up."""
    with outside.witnessed():
        hog, sibling = outside.owner.new_session(), outside.owner.new_session()
        outside.owner.submit("hog", hog, HOG)
        answers = outside.owner.ask(sibling, "1 + 1", "2 + 2")
        assert outside.owner.poll() == {}
        outside.owner.close(hog)
        outside.owner.close(sibling)
    assert answers == [Answer("2", "ok"), Answer("4", "ok")]


# Sessions know nothing of each other


def test_session_closed_while_it_talks(outside):
    """A session's message and the order to close it may come together; the server minds neither."""
    chatter = "import time\nfor _ in range(900):\n    os.write(channel, b'x')\n    time.sleep(0.0005)"
    with outside.witnessed():
        for _ in range(25):
            session = outside.owner.new_session()
            outside.attack(session, f"channel = answer_myself('forged')\n{chatter}")
            outside.owner.close(session)
        assert outside.owner.servers == outside.servers, "a server has died"


@once
def test_session_closed_while_it_ends(outside):
    """A block's answer and the order to close its session may come together; the server minds neither."""
    with outside.witnessed():
        for place in range(80):
            session = outside.owner.new_session()
            outside.owner.submit("last", session, "1 + 1")
            time.sleep(place * 2e-5)
            outside.owner.close(session)
        assert outside.owner.servers == outside.servers, "a server has died"


@pytest.mark.parametrize("kind", KINDS)
def test_no_shared_memory_is_written(outside, kind):
    """The modules that all sessions import from one memory are nobody's to change."""
    found = """
import mmap
libc, page = ctypes.CDLL(None, use_errno=True), mmap.PAGESIZE
libc.mprotect.argtypes = libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
for finder in sys.meta_path:
    for memory in vars(finder).values():
        if isinstance(memory, mmap.mmap):
            start, size = ctypes.c_void_p.from_address(id(memory) + 16).value, -(-len(memory) // page) * page
"""
    write = """
            changed = bytearray(memory)
            for entry in finder.entries.values():
                if entry.path.endswith("/this.py"):
                    evil = __import__("marshal").dumps(compile("print('evil')", "x", "exec"))
                    changed[entry.start : entry.start + len(evil)] = evil
            if libc.mprotect(start, size, 3) == 0:
                ctypes.memmove(start, bytes(changed), len(changed))
"""
    punch = "            libc.madvise(start, size, 9)  # MADV_REMOVE"
    with outside.witnessed():
        answers = []
        for change in (write, punch):
            session, fresh = outside.owner.new_session(), outside.owner.new_session()
            outside.attack(session, f"{kind}\n{found}{change}")
            answers += outside.owner.ask(fresh, kind, "import this")[1:]
            outside.owner.close(session)
            outside.owner.close(fresh)
    assert [answer.text[:40] for answer in answers] == ["The Zen of Python, by Tim Peters\n\nBeauti"] * 2


SEARCHES = {
    "by names": r"""
import gc
seen, frame = set(), sys._getframe()
def search(thing, depth):
    if id(thing) in seen or depth > 6 or isinstance(thing, type):
        return
    seen.add(id(thing))
    if isinstance(thing, (str, bytes, bytearray)):
        whole = thing if isinstance(thing, str) else bytes(thing).decode(errors="replace")
        if WORD.search(whole):
            print("HOLE", whole[:80])
        return
    for part in gc.get_referents(thing):
        search(part, depth + 1)
while frame is not None:
    for thing in list(frame.f_locals.values()):
        search(thing, 0)
    frame = frame.f_back
""",
    "in memory": r"""
LIBC.sbrk.restype = ctypes.c_void_p
end = LIBC.sbrk(ctypes.c_long(0))
start = (end - 1) & ~4095
while LIBC.madvise(ctypes.c_void_p(start), ctypes.c_size_t(4096), 0) == 0:
    start -= 4096
heap = (ctypes.c_char * (end - start - 4096)).from_address(start + 4096)
for match in re.compile(WORD.pattern.encode()).finditer(heap):
    print("HOLE", bytes(heap[match.start() - 60 : match.end() + 20]))
""",
}


@once
@pytest.mark.parametrize("search", SEARCHES)
def test_no_session_reads_another(outside, search):
    """A session's code and output, closed, waiting or running, are in no other session's memory."""
    with outside.witnessed():
        closed, running, reader = (outside.owner.new_session() for _ in range(3))
        outside.owner.ask(closed, "word = 'walrus' + '-and-carpenter'\nprint(word)")
        outside.owner.close(closed)
        outside.owner.submit("running", running, "import time\ntime.sleep(0.9)\n'walrus-and-oyster'")
        outside.owner.submit("waiting", running, "'walrus-and-king'")
        others = [outside.owner.new_session() for _ in range(8)]  # takes the sessions that were made ahead
        for other in others:
            outside.owner.ask(other, "1")
        try:
            outside.attack(reader, f"import re\nWORD = re.compile('walrus[-]and[-][a-z]+')\n{SEARCHES[search]}")
        finally:
            for session in (running, reader, *others):
                outside.owner.close(session)


@pytest.mark.parametrize("outside", ["ordinary user"], indirect=True)
def test_attacks_are_real(outside):
    """Without a sandbox the same blocks do go through: what holds them is the sandbox, not a mistake in them.

    Never as root: to root's processes more is open than a test may try.
    """
    with outside.witnessed():
        pass
    assert os.geteuid() != 0 or outside.user
    who = {} if outside.user is None else {"user": outside.user, "group": outside.user, "extra_groups": []}
    environment = {"TMPDIR": str(outside.folder), "SCDPO_SECRET": outside.secret, "PYTHONPATH": packages()}
    for attack in (*FILES[::-1], *NETWORK):
        ran = subprocess.run(
            [outside.python or sys.executable, "-c", "import sys; exec(sys.stdin.read())"],
            input=outside.equipped(attack.code),
            capture_output=True,
            text=True,
            env=environment,
            **who,
        )
        assert ran.stdout.count("HOLE") > 5, (attack.name, ran.stdout, ran.stderr)
    outside.stop()  # what it saw has been changed


# The service ends


@pytest.fixture
def owner(outside):
    """An owner of the same user, to be killed."""
    owner = Owner(outside.user, python=outside.python, jobs=2)  # one of them for the hog
    owner.submit("hog", owner.new_session(), HOG)
    yield owner
    owner.stop()


def test_sessions_die_with_their_server(owner):
    """A server that is killed takes its sessions with it, even those that hear no signal; the next block finds another."""
    idle = owner.new_session()
    owner.ask(idle, "kept = 1")
    (server,) = owner.servers
    everyone = family([server])
    assert len(everyone) > 2
    os.kill(server, signal.SIGKILL)
    assert within(3, lambda: not alive(everyone)), "processes are left"
    assert owner.poll(5)["hog"].status == KILLED
    assert [answer.status for answer in owner.ask(idle, "kept")] == [KILLED]
    assert owner.ask(owner.new_session(), "6 * 7") == [Answer("42", "ok")]


def test_servers_die_with_their_owner(owner):
    """A trainer that is killed leaves no process behind."""
    owner.ask(owner.new_session(), "1")
    everyone = family(owner.servers)
    assert len(everyone) > 2
    owner.kill()
    assert within(3, lambda: not alive(everyone)), "processes are left"


def test_promised_sessions_are_there():
    """settings.sessions is a promise: the server makes room for its descriptors where the system's soft limit has none."""
    owner = Owner(descriptors=64, sessions=60)
    try:
        sessions = [owner.new_session() for _ in range(60)]
        answers = [answer for session in sessions for answer in owner.ask(session, f"{session} + 1")]
        assert answers == [Answer(str(session + 1), "ok") for session in sessions]
    finally:
        owner.stop()
