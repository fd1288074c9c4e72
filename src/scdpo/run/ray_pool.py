"""Ray actors as workers: the tasks' functions in processes of a cluster, one task at a time each.

Knows Ray; knows no stage. Who gets which task, and what becomes of a lost actor's, is dispatch's work.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from scdpo.errors import RunError, first_line
from scdpo.run.directory import RunDirectory
from scdpo.run.dispatch import LOST, dispatch
from scdpo.run.pool import Report, run_task
from scdpo.run.ray_settings import RaySettings
from scdpo.run.worker import Worker

TICK = 0.2
"""Seconds after which the crew looks around again, whether anything ended or not."""
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # without it Ray warns that it is about to become so
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # it would send the working directory, with its runs, to all nodes
}


class RayWorkers:
    """The interface of Workers over the cluster that `settings.address` names; its actors live as long as a stage.

    run: its recipe is the file that every node must see as it is here.
    """

    def __init__(self, settings: RaySettings, run: RunDirectory) -> None:
        self.settings, self.run = settings, RunDirectory(run.place, run.recipe)
        self.actors, self.nodes, self.lost = 0, 0, 0

    def __enter__(self) -> RayWorkers:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError as error:
            raise RunError('ray.address is set and Ray is not installed; pip install "scdpo[ray]"') from error
        address = self.settings.address if self.settings.address != "auto" else None
        try:
            if address is not None:
                check_reachable(address)
            ray.init(address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # of many types: Ray's own, of the network, of other versions there
            raise RunError(
                f'cannot reach a Ray cluster at "{self.settings.address}" ({first_line(error)}); check ray.address, '
                "that Ray and Python are of the same versions there, and whether it wants a token (docs/cluster.md)"
            ) from error
        return self

    def __exit__(self, *error: object) -> None:
        import ray

        ray.shutdown()

    def map(
        self, function: Callable[..., Any], tasks: Iterable[tuple], threads: int, report: Report = lambda *event: None
    ) -> Iterator[Any]:
        """As Workers.map. Raises what a task raised, and RunError where actors do not start or last, or the cluster is gone."""
        crew = RayCrew(function, self.settings, max(threads, 1), self.run, report)
        try:
            yield from dispatch(tasks, crew)
        except crew.ray.exceptions.RayError as error:  # an actor's own are answered by the crew; this is the cluster's
            raise RunError(
                f"the Ray cluster is gone ({first_line(error)}); when there is one, run the same command again to continue"
            ) from error
        finally:
            crew.close()
            self.actors, self.nodes = max(self.actors, crew.most), max(self.nodes, len(crew.nodes))
            self.lost += crew.lost

    def described(self) -> dict[str, Any]:
        """For the manifest: the most actors at once, on how many nodes, how many of them were lost at work."""
        import ray

        return {"ray": ray.__version__, "actors": self.actors, "nodes": self.nodes, "lost": self.lost}


def check_reachable(address: str) -> None:
    """Raise OSError where nobody listens; Ray would try for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    socket.create_connection((host, int(port)), timeout=10).close()


class Member:
    """Inside the actor's process."""

    def __init__(self, listener: Any, run: RunDirectory) -> None:
        self.listener, self.worker = listener, Worker(run)

    def hello(self, witness: Path, contents: bytes) -> str:
        """The node that this one is on. Raises RunError where the node does not see the run."""
        import ray

        if not witness.is_file() or witness.read_bytes() != contents:
            raise RunError(
                f"a node of the Ray cluster ({os.uname().nodename}) does not see the run at {witness.parent}; put the run "
                "directory on a file system that all nodes share, under the same path (docs/cluster.md)"
            )
        return ray.get_runtime_context().get_node_id()

    def run(self, function: Callable[..., Any], task: tuple, index: int) -> Any:
        return run_task(self.worker, (function, task, index), lambda *told: self.listener.report.remote(index, *told))


class Listener:
    """An actor on the driver's node that keeps the last progress of each task until it is asked."""

    def __init__(self) -> None:
        self.heard: dict[int, tuple] = {}

    def report(self, index: int, *told: Any) -> None:
        self.heard[index] = told

    def take(self) -> dict[int, tuple]:
        heard, self.heard = self.heard, {}
        return heard


class RayCrew:
    """A Crew of actors. Those that the cluster has no room for yet wait for it in Ray's queue, one at least, so that a cluster
    that grows is used; of those that are gone nothing is expected to come back."""

    def __init__(
        self, function: Callable[..., Any], settings: RaySettings, threads: int, run: RunDirectory, report: Report
    ) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.ray, self.function, self.settings, self.report = ray, function, settings, report
        self.needs = {"CPU": float(threads)} | ({"GPU": settings.gpus} if settings.gpus else {})
        witness = run.path / "recipe.toml"
        self.run, self.witness = run, (witness, witness.read_bytes())
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.listener: Any = ray.remote(Listener).options(num_cpus=0, scheduling_strategy=here).remote()
        self.kind: Any = ray.remote(Member).options(num_cpus=threads, num_gpus=settings.gpus)
        self.starting: dict[Any, Any] = {}  # what was asked -> who was asked
        self.idle: list[Any] = []
        self.busy: dict[Any, tuple[Any, int]] = {}
        self.nodes: set[str] = set()
        self.most = self.lost = 0
        self.last_sign = time.monotonic()

    @property
    def free(self) -> int:
        return len(self.idle)

    def room(self) -> int:
        left = self.ray.available_resources()
        fitting = min(int(left.get(name, 0.0) / need) for name, need in self.needs.items())
        wanted = self.free + max(1, fitting, len(self.starting))
        return min(wanted, self.settings.actors - len(self.busy)) if self.settings.actors else wanted

    def start(self, tasks: int) -> None:
        for _ in range(min(tasks, self.room()) - self.free - len(self.starting)):
            self._start_member(self.kind.remote(self.listener, self.run))

    def _start_member(self, actor: Any) -> None:
        self.starting[actor.hello.remote(*self.witness)] = actor

    def give(self, index: int, task: tuple) -> None:
        actor = self.idle.pop()
        self.busy[actor.run.remote(self.function, task, index)] = actor, index
        self.most = max(self.most, len(self.busy))

    def wait(self) -> list[tuple[int, Any]]:
        ready, _ = self.ray.wait([*self.busy, *self.starting], timeout=TICK)
        self._listen()
        over = [outcome for ask in ready if (outcome := self._settle(ask)) is not None]
        if self.busy or over:
            self.last_sign = time.monotonic()
        elif time.monotonic() - self.last_sign > self.settings.patience:
            needs = " and ".join(f"{need:g} {name}" for name, need in self.needs.items())
            raise RunError(
                f"no Ray actor found room for {self.settings.patience:g} s (it takes {needs} of one node); free or add nodes, "
                "or lower ray.gpus; what the cluster has: ray status"
            )
        return over

    def _settle(self, ask: Any) -> tuple[int, Any] | None:
        """Take an answer: a greeted actor becomes free; of one that worked, the task's index and outcome."""
        actor, index = self.busy.pop(ask, None) or (self.starting.pop(ask), None)
        try:
            answer = self._answer(ask)
        except self.ray.exceptions.RayError:
            self.ray.kill(actor)
            return None if index is None else (index, self._lose())
        self.idle.append(actor)
        if index is None:
            self.nodes.add(answer)
        return None if index is None else (index, answer)

    def _lose(self) -> object:
        """An actor is gone, or out of reach: its node may have taken others with it, so the free ones are greeted again."""
        self.lost += 1
        free, self.idle = self.idle, []
        for other in free:
            self._start_member(other)
        return LOST

    def _answer(self, ask: Any) -> Any:
        """Raises what was raised there, RunError where an actor cannot start, and RayError where it is gone."""
        try:
            return self.ray.get(ask)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except self.ray.exceptions.RayActorError as error:
            if not error.actor_init_failed:
                raise
            reason = str(error).strip().splitlines()[-1]
            raise RunError(f"a Ray actor does not start ({reason}); install the same scdpo on all nodes") from error

    def _listen(self) -> None:
        for index, told in self._answer(self.listener.take.remote()).items():
            self.report(index, *told)

    def close(self) -> None:
        """End all actors."""
        if not self.ray.is_initialized():  # after an error elsewhere they ended with the connection
            return
        with contextlib.suppress(self.ray.exceptions.RayError, RunError):
            self._listen()
        for actor in (*self.starting.values(), *self.idle, *(actor for actor, _ in self.busy.values()), self.listener):
            self.ray.kill(actor)
