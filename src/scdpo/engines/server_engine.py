"""The engine over OpenAI-compatible completions servers: a request goes out in pieces, to whichever address is free.

One event loop in a thread of its own holds all requests in flight; completions come out of it through a queue. Draws are the
server's, so records are not bit-equal between runs. Knows no HTTP (see addresses) and no JSON (see completions_api).
"""

from __future__ import annotations

import asyncio
import queue
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from scdpo.engines.addresses import Addresses
from scdpo.engines.completions_api import read_answer, request_body
from scdpo.engines.interface import Completion, Generate, refuse_unfit
from scdpo.engines.pieces import Landmarks, Progress
from scdpo.engines.settings import ServerSettings

T = TypeVar("T")


class ServerEngine:
    """Generates with the model that settings.addresses serve under the name `model`.

    marks: the ids that end a solution, a step, or a piece of code; capacity: tokens of the longest prompt with its completion;
    key: where the servers ask for one; cure: the command that starts a server, for the message where none serves the model.
    Raises ModelError.
    """

    def __init__(
        self, settings: ServerSettings, model: str, marks: Landmarks, capacity: int, key: str | None = None, cure: str = ""
    ) -> None:
        self.model, self.marks, self.capacity = model, marks, capacity
        self.send_seed = settings.send_seed
        self.asked: dict[int, Future[Completion]] = {}
        self.finished: queue.SimpleQueue[tuple[int, Future[Completion]]] = queue.SimpleQueue()
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="scdpo-server-engine", daemon=True).start()
        self.stop_loop = weakref.finalize(self, end, self.loop)
        self.addresses = Addresses(settings, model, key)
        self._run(self.addresses.open(cure))

    def submit(self, ticket: int, request: Generate) -> None:
        refuse_unfit(request, self.capacity)
        finished = self.finished
        future = self.asked[ticket] = asyncio.run_coroutine_threadsafe(self._answer(request), self.loop)
        future.add_done_callback(lambda done: finished.put((ticket, done)))

    def cancel(self, ticket: int) -> None:
        future = self.asked.pop(ticket, None)
        if future is not None:
            future.cancel()

    def advance(self) -> list[tuple[int, Completion]]:
        """Wait until something is finished or cancelled. Raises ModelError where a request cannot be answered."""
        if not self.asked:
            return []
        done = [self.finished.get()]
        while not self.finished.empty():
            done.append(self.finished.get())
        wanted = [ticket for ticket, future in done if self.asked.get(ticket) is future]  # not cancelled
        try:
            return [(ticket, self.asked.pop(ticket).result()) for ticket in wanted]
        except BaseException:
            self.reset()
            raise

    def reset(self) -> None:
        """Drop what is in flight; the servers hear of it by its connections closing."""
        for future in self.asked.values():
            future.cancel()
        self.asked, self.finished = {}, queue.SimpleQueue()

    def close(self) -> None:
        """End what is in flight, and the thread."""
        if self.stop_loop.alive:
            self.reset()
            self._run(self.addresses.close())
            self.stop_loop()

    async def _answer(self, request: Generate) -> Completion:
        progress: Progress | Completion = Progress(request)
        while isinstance(progress, Progress):
            piece = progress.next_piece(self.marks)
            reply = await self.addresses.ask("completions", request_body(piece, self.model, self.send_seed))
            progress = progress.take(read_answer(reply, piece, self.marks.end_ids), self.marks)
        return progress

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it in the loop's thread, and wait."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


def end(loop: asyncio.AbstractEventLoop) -> None:
    """Stop a loop that runs in another thread, with whatever it still waits for."""

    def cancel() -> None:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.call_soon(loop.stop)

    loop.call_soon_threadsafe(cancel)
