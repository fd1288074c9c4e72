"""The processors that may be used, not the machine's: what an affinity mask, a container's quota and a launch leave."""

import builtins
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scdpo.cores import share_cores, side_by_side, usable_cores, usable_threads
from scdpo.run.directory import RunDirectory
from scdpo.run.pool import Workers
from scdpo.run.recipe import build_recipe
from scdpo.run.worker import Worker, use_threads

EIGHT = set(range(8))


@pytest.fixture
def quota(monkeypatch):
    """Pretends a machine of eight processors and a cgroup with a quota."""
    exists, read = os.path.exists, builtins.open

    def pretend(limit: str) -> None:
        def opened(file, *rest, **named):
            return io.StringIO(limit) if str(file) == "/sys/fs/cgroup/cpu.max" else read(file, *rest, **named)

        monkeypatch.setattr(builtins, "open", opened)
        monkeypatch.setattr(os.path, "exists", lambda path: str(path) == "/sys/fs/cgroup/cpu.max" or exists(path))
        monkeypatch.setattr(os, "cpu_count", lambda: len(EIGHT))
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: EIGHT)

    return pretend


@pytest.fixture
def cores(monkeypatch):
    return lambda count: monkeypatch.setattr("scdpo.cores.usable_cores", lambda: count)


def process_of(worker, report) -> int:
    return os.getpid()


@pytest.mark.skipif(sys.platform != "linux", reason="affinity masks and cgroups are Linux'")
@pytest.mark.parametrize(
    ("limit", "cores"), [("max 100000", 8), ("100000 100000", 1), ("150000 100000", 2), ("20000 100000", 1)]
)
def test_a_quota_counts(quota, limit, cores):
    quota(limit)
    assert usable_cores() == cores
    assert usable_threads(0) == cores and usable_threads(2) == min(2, cores)


@pytest.mark.skipif(sys.platform != "linux", reason="affinity masks are Linux'")
def test_an_affinity_mask_counts():
    """In a process of its own, as `taskset -c 0` starts it: one thread by default and one where two are asked for."""
    program = (
        "import json, os\n"
        f"os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}})\n"
        "from scdpo.cores import share_cores, side_by_side, usable_threads\n"
        "share_cores()\n"
        "import torch\n"
        "started = torch.get_num_threads()\n"
        "from scdpo.run.worker import use_threads\n"
        "use_threads(2)\n"
        "print(json.dumps([started, torch.get_num_threads(), side_by_side(0), side_by_side(1), usable_threads(0)]))\n"
    )
    variables = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [1, 1, 1, 1, 1]


def test_a_launchs_processes_share(cores, monkeypatch):
    cores(8)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert [usable_threads(asked) for asked in (0, 1, 2, 3)] == [2, 1, 2, 2]
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")
    assert usable_threads(0) == 1


@pytest.mark.parametrize(("count", "threads", "processes"), [(1, 2, 1), (1, 0, 1), (2, 1, 2), (5, 2, 2), (8, 0, 1)])
def test_processes_side_by_side(cores, count, threads, processes):
    cores(count)
    assert side_by_side(threads) == processes


def test_one_processor_is_one_of_everything(cores, tmp_path, monkeypatch):
    """Workers, threads, the sandbox's jobs and the manifest, of a recipe that asks for two threads."""
    cores(1)
    for room in (
        "run.worker",
        "run.manifest",
        "sandbox.sandbox",
        "cli.grade",
        "cli.plan",
        "cli.execute",
    ):
        monkeypatch.setattr(f"scdpo.{room}.usable_cores", lambda: 1)
    recipe = build_recipe({"engine": {"threads": 2}, "sft": {"threads": 2}, "code": {"format": "blocks"}}, "made", {})
    use_threads(2)
    assert torch.get_num_threads() == 1
    run = RunDirectory(tmp_path, recipe)
    with Workers(4, run) as workers:
        assert list(workers.map(process_of, [(), ()], 1)) == [os.getpid()] * 2
    assert Worker(run).sandbox.settings.jobs == 1
    from scdpo.run.manifest import describe_machine

    assert describe_machine(run, 1, ())["machine"]["cores"] == 1


def test_no_file_asks_the_machine():
    """os.cpu_count knows no masks and no quotas."""
    import scdpo

    files = Path(scdpo.__file__).parent.rglob("*.py")
    assert [file.name for file in files if "cpu_count" in file.read_text(encoding="utf-8")] == ["cores.py"]


def test_the_users_own_setting_goes_first(cores, monkeypatch):
    cores(3)
    names = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    for name in names:
        monkeypatch.setenv(name, "set, so that it is put back")
        monkeypatch.delenv(name)
    share_cores()
    assert [os.environ.get(name) for name in names] == ["3", None, "1000", "1"]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    share_cores()
    assert [os.environ.get(name) for name in names] == ["7", "ACTIVE", None, None]
    monkeypatch.delenv("OMP_WAIT_POLICY")
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    share_cores()
    assert os.environ["GOMP_SPINCOUNT"] == "5"


def test_one_process_at_a_gpu(cores, monkeypatch):
    """Sixteen cores and a card: one process with its model on it. No torch is asked where no driver is."""
    cores(16)
    monkeypatch.setattr("scdpo.cores.DRIVERS", ())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert side_by_side(1) == 16
    monkeypatch.setattr("scdpo.cores.DRIVERS", ("/dev",))
    assert side_by_side(1) == side_by_side(0) == 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert side_by_side(1) == 16
