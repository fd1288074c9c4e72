"""A model of hashes, an engine's answer to it written token by token, and a completions server over it: oracles for engines."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Collection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from scdpo.engines.interface import Completion, Generate
from scdpo.engines.pieces import Landmarks

END, STOP, STEP_END, STEP_END_TOO = 2, 5, 6, 7
LETTERS = (END, STOP, STEP_END, STEP_END, STEP_END_TOO, 8, 9, 10, 11, 12, 13, 14)
MARKS = Landmarks(frozenset({END}), frozenset({STEP_END, STEP_END_TOO}), frozenset({STOP}))


def speak(ids: tuple[int, ...], temperature: float) -> int:
    """The id that follows; another one at another temperature, so that an id of the wrong piece shows."""
    return random.Random(f"{ids} {temperature:.6f}").choice(LETTERS)


def log_prob(ids: tuple[int, ...], id: int) -> float:
    return -(len(ids) + id / 100)


def whole(request: Generate, marks: Landmarks = MARKS) -> Completion:
    """The completion that interface.py describes, id by id."""
    ids: list[int] = []
    temperatures, log_probs = [], []
    step, inside = request.step, False
    while len(ids) < request.max_new_tokens:
        temperature = round(request.temperature.at(step), 6)
        id = speak((*request.ids, *ids), temperature)
        if id in marks.end_ids:
            return Completion(tuple(ids), tuple(temperatures), tuple(log_probs), "end")
        log_probs.append(log_prob((*request.ids, *ids), id))
        ids.append(id)
        temperatures.append(temperature)
        step += inside and id in marks.step_end_ids
        inside = id not in marks.step_end_ids
        if request.stop is not None and id in marks.stop_ids and request.stop(ids):
            return Completion(tuple(ids), tuple(temperatures), tuple(log_probs), "stop")
    return Completion(tuple(ids), tuple(temperatures), tuple(log_probs), "length")


class StandIn:
    """A server on a port of its own that speaks as `talk` does, in a server's spelling; it may be stopped and started again.

    spelling: "token_ids" and "token_id:" (vLLM, new and old), "content" (llama.cpp), "text" (no ids); obeys: whether it stops
    at stop_token_ids, or at the model's own end alone; trouble: called with the number of each request, a status to answer it
    with, "drop" for a connection that breaks, or None; pause: seconds that an answer takes.
    """

    def __init__(
        self,
        spelling: str = "token_ids",
        obeys: bool = True,
        trouble: Callable[[int], int | str | None] = lambda number: None,
        pause: float = 0.0,
        models: Collection[str] = ("sft",),
        key: str = "",
        talk: Callable[[tuple[int, ...], float], int] = speak,
        end_id: int = END,
    ) -> None:
        self.spelling, self.obeys, self.trouble, self.pause = spelling, obeys, trouble, pause
        self.models, self.key, self.talk, self.end_id = models, key, talk, end_id
        self.bodies: list[dict[str, Any]] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        self.server = Listener(("127.0.0.1", self.port), handler_of(self))
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Die: no new connections, and those that wait for an answer break."""
        server, self.server = self.server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def reply(self, body: dict[str, Any]) -> dict[str, Any]:
        prompt = tuple(body["prompt"])
        ids: list[int] = []
        stops = {self.end_id, *(body["stop_token_ids"] if self.obeys else ())}
        while len(ids) < body["max_tokens"] and not (ids and ids[-1] in stops):
            ids.append(self.talk((*prompt, *ids), body["temperature"]))
        log_probs = [log_prob((*prompt, *ids[:place]), id) for place, id in enumerate(ids)]
        choice: dict[str, Any] = {"text": "?", "finish_reason": "stop" if ids[-1] in stops else "length"}
        if self.spelling == "content":
            rows = zip(ids, log_probs, strict=True)
            choice["logprobs"] = {"content": [{"id": id, "token": "?", "logprob": value} for id, value in rows]}
        else:
            tokens = ["?" if self.spelling == "text" else f"token_id:{id}" for id in ids]
            choice["logprobs"] = {"tokens": tokens, "token_logprobs": log_probs}
        if self.spelling == "token_ids":
            choice["token_ids"] = ids
        return {"choices": [choice], "usage": {"completion_tokens": len(ids)}}


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that a client closes are not news."""


def handler_of(stand_in: StandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if stand_in.server is not self.server:
                self.close_connection = True
            elif stand_in.key and self.headers.get("Authorization") != f"Bearer {stand_in.key}":
                self._send(401, {"error": {"message": "who are you?"}})
            else:
                self._send(200, {"data": [{"id": name} for name in stand_in.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with stand_in.lock:
                stand_in.bodies.append(body)
                number = len(stand_in.bodies)
                stand_in.at_once += 1
                stand_in.most_at_once = max(stand_in.most_at_once, stand_in.at_once)
            time.sleep(stand_in.pause)
            with stand_in.lock:
                stand_in.at_once -= 1
            trouble = stand_in.trouble(number)
            if trouble == "drop" or stand_in.server is not self.server:
                self.close_connection = True
            elif trouble is not None:
                self._send(int(trouble), {"error": {"message": f"trouble {trouble}"}})
            else:
                self._send(200, stand_in.reply(body))

        def _send(self, status: int, reply: Any) -> None:
            content = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            pass

    return Handler
