"""Worker processes: tasks in, results out in the tasks' order, progress on the way.

One worker runs the tasks in this process. Knows no stage.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from scdpo.errors import RunError

Report = Callable[[int, int, int], None]
"""Called with (task, done, total)."""

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

    def map(
        self, function: Callable[..., Any], tasks: Sequence[tuple], at_once: int, report: Report = lambda *event: None
    ) -> Iterator[Any]:
        """function(*task, report=...) for every task, at most `at_once` at a time; yields the results in order.

        Raises RunError where a worker process dies.
        """
        at_once = min(at_once, self.count)
        if at_once <= 1 or len(tasks) <= 1:
            for index, task in enumerate(tasks):
                yield function(*task, report=lambda done, total, index=index: report(index, done, total))
            return
        pool = self._start(report)
        futures: list[Future] = []
        given = 0
        try:
            for index, task in enumerate(tasks):
                while len(busy := [future for future in futures if not future.done()]) >= at_once:
                    wait(busy, return_when=FIRST_COMPLETED)
                    while given < len(futures) and futures[given].done():
                        yield futures[given].result()
                        given += 1
                futures.append(pool.submit(_call, function, task, index))
            for future in futures[given:]:
                yield future.result()
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
    return function(*task, report=lambda done, total: _events.put((index, done, total)))
