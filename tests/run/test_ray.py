"""Blocks of problems on Ray actors: the same bytes as without, whatever becomes of the nodes."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from scdpo.cli.main import main
from scdpo.errors import ModelError, RunError
from scdpo.run.directory import RunDirectory
from scdpo.run.pool import Workers
from scdpo.run.ray_pool import Member, RayCrew, RayWorkers
from scdpo.run.ray_settings import RaySettings
from scdpo.run.recipe import Recipe
from scdpo.run.stages.sample import SAMPLE, sampled
from scdpo.run.tools import Tools
from tests.run.conftest import Unwatched
from tests.run.test_run import records, same_results


@pytest.fixture(scope="module")
def cluster():
    """A head without processors and a node with two. A test that takes nodes away leaves others."""
    pytest.importorskip("ray", reason="Ray is not installed (make test installs it)")
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)]))
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        made.add_node(num_cpus=2)
        yield made
        made.shutdown()


@pytest.fixture
def on_ray(cluster, tmp_path):
    """Opens workers on the cluster, with what a test sets."""
    (tmp_path / "recipe.toml").write_text("")
    run = RunDirectory(tmp_path, Recipe())
    return lambda **settings: RayWorkers(RaySettings(address=cluster.address, **settings), run)


def without_records(run, folder):
    """A copy of a finished run that owes all its blocks."""
    shutil.copytree(run, folder)
    for name in ("samples.jsonl", "trees.jsonl", "results.json"):
        (folder / name).unlink()
    for name in ("answers", "credit/log_probs"):
        shutil.rmtree(folder / name)
    return folder


@pytest.mark.slow
def test_a_run_on_ray_gives_the_same_bytes(cluster, finished, tmp_path):
    """Samples, trees, answers and log-probs as from one worker; its recipe does not name the cluster, its manifest does."""
    folder = without_records(finished, tmp_path / "run")
    assert main(["run", "--out", str(folder), "--ray", cluster.address]) == 0
    assert records(folder) == records(finished)
    assert same_results(folder, finished)
    workers = json.loads((folder / "manifest.json").read_text())["machine"]["workers"]
    assert (workers["actors"], workers["nodes"], workers["lost"]) == (2, 1, 0)
    assert workers["ray"].startswith("2.")


def test_code_on_ray_gives_the_same_bytes(cluster, coded, tmp_path):
    """The sandbox runs beside the engine, inside the actor, and ends with it."""
    folder = without_records(coded, tmp_path / "run")
    assert main(["sample", str(folder), "--ray", cluster.address]) == 0
    assert (folder / "samples.jsonl").read_bytes() == (coded / "samples.jsonl").read_bytes()


def slow_sample(worker, number, problems, report):
    """Sampling that takes three seconds a block after it began to tell."""

    def tell(done, total):
        report(done, total)
        time.sleep(0.3)

    return sampled(worker, number, problems, tell)


class Watch(Unwatched):
    """Does the next of `deeds`, each a set of tasks and what to do when all of them are under way at once."""

    def __init__(self, *deeds):
        self.deeds, self.under_way = list(deeds), set()

    def update(self, task, done, total, said=""):
        (self.under_way.add if done < total else self.under_way.discard)(task)
        if self.deeds and self.deeds[0][0] <= self.under_way:
            self.deeds.pop(0)[1]()


def test_nodes_that_are_killed_lose_nothing(cluster, finished, tmp_path, monkeypatch):
    """Two nodes at work: one is killed in the middle of its block, later the other, and a new one comes. The bytes are those of
    one worker."""
    monkeypatch.setattr("scdpo.run.stages.sample.sampled", slow_sample)
    run = RunDirectory.open(without_records(finished, tmp_path / "run"))
    (old,) = cluster.worker_nodes
    one, other = cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)
    cluster.remove_node(old)
    cluster.wait_for_nodes()

    def replace_the_other():
        cluster.remove_node(other, allow_graceful=False)
        cluster.add_node(num_cpus=2)

    watch = Watch(({0, 1}, lambda: cluster.remove_node(one, allow_graceful=False)), ({2}, replace_the_other))
    settings = RaySettings(address=cluster.address)
    with Workers(1, run) as workers, RayWorkers(settings, run) as actors:
        SAMPLE.make(Tools(run, workers, actors, watch), run.round(1), SAMPLE.outputs(run.round(1)))
        assert actors.described()["lost"] == 2, "both nodes had an actor at work"
        assert actors.described()["nodes"] == 3
    assert not watch.deeds
    assert run.round(1).samples.path.read_bytes() == (finished / "samples.jsonl").read_bytes()


def fail(worker, number, report):
    if number == 2:
        raise ModelError("the model is gone; bring it back")
    return number


def die(worker, number, report):
    os._exit(1)


def test_what_a_task_raises_is_what_the_user_is_told(on_ray):
    with on_ray() as workers, pytest.raises(ModelError, match=r"^the model is gone; bring it back$"):
        list(workers.map(fail, [(number,) for number in range(5)], 1))


def test_a_block_that_ends_its_actors_is_an_error(on_ray):
    with on_ray() as workers, pytest.raises(RunError, match="ended its Ray actor 3 times"):
        list(workers.map(die, [(1,)], 1))


def test_no_room_is_an_error_after_a_while(on_ray):
    """No node has a thousand processors, so it is said instead of waiting for ever."""
    with on_ray(patience=2) as workers, pytest.raises(RunError, match=r"no Ray actor found room for 2 s \(it takes 1000 CPU"):
        list(workers.map(fail, [(1,)], 1000))


def test_a_cluster_that_is_gone_is_an_error(on_ray, monkeypatch):
    import ray

    def wait(crew):
        raise ray.exceptions.RaySystemError("no more")

    monkeypatch.setattr(RayCrew, "wait", wait)
    with on_ray() as workers, pytest.raises(RunError, match=r"the Ray cluster is gone .*run the same command again"):
        list(workers.map(fail, [(1,)], 1))


def test_no_more_actors_than_asked_for(on_ray):
    with on_ray(actors=1) as workers:
        assert list(workers.map(fail, [(3,), (4,), (5,)], 1)) == [3, 4, 5]
        assert workers.described()["actors"] == 1


def test_a_node_that_does_not_see_the_run_says_so(tmp_path):
    """Missing there, or another run under the same path."""
    file = tmp_path / "recipe.toml"
    for _ in range(2):
        with pytest.raises(RunError, match=r"does not see the run at .* file system that all nodes share"):
            Member(None, RunDirectory(tmp_path, Recipe())).hello(file, b"[run]\n")
        file.write_text("[run]\nseed = 7\n")


def test_nobody_at_the_address(finished, capsys):
    """Said at once, not after Ray's own patience of minutes."""
    pytest.importorskip("ray", reason="Ray is not installed (make test installs it)")
    assert main(["sample", str(finished), "--ray", "127.0.0.1:1"]) == 2
    assert 'cannot reach a Ray cluster at "127.0.0.1:1"' in capsys.readouterr().err


def test_without_ray_the_error_names_the_cure(finished, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["sample", str(finished), "--ray"]) == 2
    assert capsys.readouterr().err == 'scdpo: ray.address is set and Ray is not installed; pip install "scdpo[ray]"\n'
