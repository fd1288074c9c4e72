"""Worker processes: tasks in, results out in the tasks' order, progress on the way.

One worker runs the tasks in this process. Knows no stage. Who gets which task is dispatch's work.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from scdpo.cores import side_by_side
from scdpo.errors import RunError
from scdpo.run.directory import RunDirectory
from scdpo.run.dispatch import dispatch
from scdpo.run.worker import Worker
from scdpo.training.job import Report
from scdpo.training.memory import give_back_memory

Job = tuple[Callable[..., Any], tuple, int]
"""A function of a worker, its arguments, and the task's place in the order."""
LAST_WORDS = 30.0
"""Seconds in which an interrupted worker may write a checkpoint."""


class Workers:
    """`count` processes over a run that live as long as the command, started when first needed."""

    def __init__(self, count: int, run: RunDirectory) -> None:
        self.count, self.run = count, run
        self.own = Worker(run)
        self.members: list[Member] = []

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.own.__exit__(None)
        for member in self.members:
            member.end(at_once=kind is not None)
        for member in self.members:
            member.join()

    def described(self) -> int:
        """For the manifest."""
        return self.count

    def map(
        self, function: Callable[..., Any], tasks: Iterable[tuple], threads: int, report: Report = lambda *event: None
    ) -> Iterator[Any]:
        """function(worker, *task, report=...) for every task; yields the results in order. Tasks are taken as there is room.

        threads: processor threads of a task, 0 for all; the cores that they leave decide how many run at once.
        Raises RunError where a worker process dies.
        """
        at_once = min(side_by_side(threads), self.count)
        tasks = iter(tasks)
        first = list(islice(tasks, 2))
        tasks = chain(first, tasks)
        if at_once > 1 and len(first) > 1:
            yield from dispatch(tasks, LocalCrew(self, function, at_once, report))
            return
        for index, task in enumerate(tasks):
            yield run_task(self.own, (function, task, index), partial(report, index))

    def member(self, number: int) -> Member:
        """The number-th process, started where it is not there yet."""
        while len(self.members) <= number:
            self.members.append(Member(self.run))
        return self.members[number]


class Member:
    """A worker process, seen from its parent."""

    def __init__(self, run: RunDirectory) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=serve, args=(theirs, run), daemon=False)
        self.process.start()
        theirs.close()

    def end(self, at_once: bool) -> None:
        """No more tasks; what it is doing ends now, where `at_once`."""
        if at_once:
            self.process.terminate()
        else:
            self.connection.send(None)

    def join(self) -> None:
        self.process.join(LAST_WORDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


class LocalCrew:
    """A Crew of this machine's processes, of which at most `at_once` work."""

    def __init__(self, workers: Workers, function: Callable[..., Any], at_once: int, report: Report) -> None:
        self.function, self.report = function, report
        self.workers, self.at_once = workers, at_once
        self.idle: list[Member] = []
        self.busy: dict[Connection, tuple[Member, int]] = {}

    @property
    def free(self) -> int:
        return len(self.idle)

    def room(self) -> int:
        return self.at_once - len(self.busy)

    def start(self, tasks: int) -> None:
        working = [member for member, _ in self.busy.values()]
        every = [self.workers.member(number) for number in range(min(self.at_once, len(working) + tasks))]
        self.idle = [member for member in every if member not in working]

    def give(self, index: int, task: tuple) -> None:
        member = self.idle.pop()
        member.connection.send((self.function, task, index))
        self.busy[member.connection] = member, index

    def wait(self) -> list[tuple[int, Any]]:
        over = []
        for connection in wait([*self.busy]):
            assert isinstance(connection, Connection)
            _, index = self.busy[connection]
            try:
                kind, *said = connection.recv()
            except (EOFError, ConnectionError) as error:
                raise RunError(
                    "a worker process died (out of memory?); run the same command again to continue, with fewer --workers"
                ) from error
            if kind == "progress":
                self.report(index, *said)
                continue
            self.busy.pop(connection)
            if kind == "error":
                raise said[0]
            over.append((index, said[0]))
        return over


def serve(connection: Connection, run: RunDirectory) -> None:
    """The life of a worker process: it leaves Ctrl-C to the parent, and does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    with Worker(run) as worker:
        while (job := connection.recv()) is not None:
            try:
                result = run_task(worker, job, lambda *told: connection.send(("progress", *told)))
            except KeyboardInterrupt:  # which a training raises after its checkpoint, when the parent ends it
                return
            except Exception as error:
                error.add_note(f"in a worker process:\n{traceback.format_exc()}")
                connection.send(("error", _sendable(error)))
            else:
                connection.send(("result", result))


def _sendable(error: Exception) -> Exception:
    """The error itself where it can be sent whole, else what it says."""
    import pickle

    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # of any type: classes with other arguments than they keep
        return RuntimeError(f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
    return error


def _leave_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def run_task(worker: Worker, job: Job, report: Callable[..., None]) -> Any:
    """One task; a training's memory is given back after it, for what runs beside this process."""
    function, task, _ = job
    try:
        return function(worker, *task, report=report)
    finally:
        give_back_memory(worker.gave_way)
        worker.gave_way = False
