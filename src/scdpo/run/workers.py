"""Worker processes: tasks in, results out in the tasks' order, progress on the way.

One worker runs the tasks in this process. Knows no stage.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import chain, islice
from typing import Any

from scdpo.cores import side_by_side
from scdpo.errors import RunError
from scdpo.training.memory import give_back_memory

Report = Callable[[int, int, int], None]
"""Called with (task, done, total)."""

AHEAD = 2
"""How many tasks are in hand for each that runs: those that run, and finished ones that wait for an earlier one."""

_events: Any = None


class Workers:
    """`count` processes that live as long as the command, started when first needed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self.pool is not None:
            if kind is not None:
                for process in list((self.pool._processes or {}).values()):
                    process.terminate()
            self.pool.shutdown(wait=True, cancel_futures=True)
            self.events.put(None)
            self.listener.join()

    def described(self) -> int:
        """For the manifest."""
        return self.count

    def map(
        self, function: Callable[..., Any], tasks: Iterable[tuple], threads: int, report: Report = lambda *event: None
    ) -> Iterator[Any]:
        """function(*task, report=...) for every task; yields the results in order. Tasks are taken as there is room for them.

        threads: processor threads of a task, 0 for all; the cores that they leave decide how many run at once.
        Raises RunError where a worker process dies.
        """
        at_once = min(side_by_side(threads), self.count)
        tasks = iter(tasks)
        first = list(islice(tasks, 2))
        tasks = chain(first, tasks)
        if at_once <= 1 or len(first) <= 1:
            for index, task in enumerate(tasks):
                yield _run(function, task, partial(report, index))
            return
        pool = self._start(report)
        window: deque[Future] = deque()
        try:
            for index, task in enumerate(tasks):
                while len(busy := [f for f in window if not f.done()]) >= at_once or len(window) >= AHEAD * at_once:
                    if window[0].done():
                        yield window.popleft().result()
                    else:
                        wait(busy, return_when=FIRST_COMPLETED)
                window.append(pool.submit(_call, function, task, index))
            while window:
                yield window.popleft().result()
        except BrokenProcessPool as error:
            raise RunError(
                "a worker process died (out of memory?); run the same command again to continue, with fewer --workers"
            ) from error

    def _start(self, report: Report) -> ProcessPoolExecutor:
        self.report = report
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            self.events = context.Queue()
            self.pool = ProcessPoolExecutor(self.count, context, initializer=_begin, initargs=(self.events,))
            self.listener = threading.Thread(target=self._listen, daemon=True)
            self.listener.start()
        return self.pool

    def _listen(self) -> None:
        while (event := self.events.get()) is not None:
            self.report(*event)


def _begin(events: Any) -> None:
    """Set a worker up: it leaves Ctrl-C to the parent, and does not outlive it."""
    global _events
    _events = events
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _call(function: Callable[..., Any], task: tuple, index: int) -> Any:
    return _run(function, task, lambda done, total: _events.put((index, done, total)))


def _run(function: Callable[..., Any], task: tuple, report: Callable[[int, int], None]) -> Any:
    """One task; a training's memory is given back behind it, for what runs beside this process."""
    try:
        return function(*task, report=report)
    finally:
        give_back_memory()
