"""Several addresses of one service, some of them dead at times: each request goes from one to another until one answers.

An address has a number of places, each for one request. Free places lie in a queue, and a request takes the next. A place where
a request failed rests for a growing while; then the address must list its model again before it is asked. All of it runs in one
event loop. Knows requests and replies as JSON, nothing of what they say.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from scdpo.engines.settings import ServerSettings
from scdpo.errors import ModelError

LOG = logging.getLogger(__name__)
FIRST_REST, LONGEST_REST = 0.5, 30.0
"""Seconds that a place rests after its first failure, and at most."""
MOST_FAILURES = 8
"""Times that a request may fail on servers that live: it is the request that is wrong then."""
LIVING = 10.0
"""Seconds in which a living server takes a connection, and lists its models."""
KEPT = 2.0
"""Seconds that an idle connection is kept: less than servers keep theirs, so that none is closed under a request."""


@dataclass(frozen=True, slots=True)
class Place:
    """Room for one request at an address. failures: of the requests there since the last answer."""

    url: str
    failures: int = 0


class Failure(Exception):
    """One try that gave no answer. lasting: whether the server lives and would fail in the same way again."""

    def __init__(self, reason: str, lasting: bool) -> None:
        super().__init__(reason)
        self.lasting = lasting


class Addresses:
    """Asks whichever address has a free place; each has settings.in_flight of them.

    model: the name that an address must list to be asked. All methods belong to the event loop that `open` runs in.
    """

    def __init__(self, settings: ServerSettings, model: str, key: str | None) -> None:
        self.settings, self.model = settings, model
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.heard, self.warned = 0.0, False

    async def open(self, cure: str) -> None:
        """Find out which addresses serve the model. Raises ModelError, with the cure, where none does."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEPT)
        timeout = httpx.Timeout(self.settings.timeout, connect=LIVING, pool=None)
        self.client = httpx.AsyncClient(headers=self.headers, timeout=timeout, limits=limits)
        self.places: asyncio.Queue[Place] = asyncio.Queue()
        urls = [url.rstrip("/") for url in self.settings.addresses]
        served = dict(zip(urls, await asyncio.gather(*map(self._models, urls)), strict=True))
        if not any(self.model in models for models in served.values()):
            seen = "; ".join(f"{url}: {', '.join(models) or 'no answer'}" for url, models in served.items())
            raise ModelError(f'no server of engine.server.addresses serves "{self.model}" ({seen}); start one with: {cure}')
        for url, models in served.items():
            if models and self.model not in models:
                LOG.info('%s serves %s, not "%s"; it is not asked', url, ", ".join(models), self.model)
        for _ in range(self.settings.in_flight):  # in turn, so that all are as busy
            for url, models in served.items():
                if self.model in models:
                    self.places.put_nowait(Place(url))
                elif not models:
                    self._rest(Place(url))

    async def close(self) -> None:
        await self.client.aclose()

    async def ask(self, path: str, body: Any) -> Any:
        """The reply of some address to a POST. Raises ModelError for a request that is refused, and where patience ends."""
        began, lasting = time.monotonic(), 0
        while True:
            place = await self.places.get()
            try:
                reply = await self._reply(place, path, body)
            except Failure as failure:
                self._rest(place)
                lasting += failure.lasting
                if lasting == MOST_FAILURES:
                    raise ModelError(
                        f"{place.url} failed {lasting} times on one request ({failure}); see the server's log, and run the "
                        "same command again to continue"
                    ) from failure
                if failure.lasting:  # every other place is as likely to fail now
                    await asyncio.sleep(rest_after(lasting - 1))
                else:
                    self._bear_silence(began, f"{place.url}: {failure}")
            except BaseException:  # a request that is refused or cancelled says nothing against the address
                self.places.put_nowait(place)
                raise
            else:
                self.heard, self.warned = time.monotonic(), False
                self.places.put_nowait(Place(place.url))
                return reply

    def _rest(self, place: Place) -> None:
        """Leave a place alone for a while, longer each time."""
        rest = rest_after(place.failures) * random.uniform(0.75, 1.25)
        asyncio.get_running_loop().call_later(rest, self.places.put_nowait, Place(place.url, place.failures + 1))

    def _bear_silence(self, began: float, trouble: str) -> None:
        """Say once that no request was answered for a while since one began. Raises ModelError where patience ends."""
        silence = time.monotonic() - max(self.heard, began)
        silent = f"no server has answered for {silence:.0f} s ({trouble})"
        if silence > self.settings.patience:
            raise ModelError(f"{silent}; start the server and run the same command again to continue")
        if silence > LONGEST_REST and not self.warned:
            self.warned = True
            LOG.warning("%s; waiting up to %g s", silent, self.settings.patience)

    async def _reply(self, place: Place, path: str, body: Any) -> Any:
        """The reply of one address. Raises Failure, and ModelError for a request that is refused."""
        if place.failures:
            models = await self._models(place.url)
            if self.model not in models:
                raise Failure(f"serves {', '.join(models)}" if models else "no answer", False)
        try:
            response = await self.client.post(f"{place.url}/{path}", json=body)
        except httpx.ReadTimeout as error:
            raise Failure(f"no answer within {self.settings.timeout:g} s", True) from error
        except httpx.RequestError as error:
            raise Failure(str(error) or type(error).__name__, False) from error
        status = response.status_code
        if status == 429 or status >= 500:
            passing = status in (429, 502, 503, 504)  # a server, or what stands before it, that is full or starts
            raise Failure(f"status {status}: {message(response)}", not passing)
        if status >= 400:
            raise ModelError(f"{place.url} refuses a request (status {status}): {message(response)}")
        try:
            return response.json()
        except ValueError as error:
            raise ModelError(f"{place.url} answers with something else than JSON; is it a completions server?") from error

    async def _models(self, url: str) -> Sequence[str]:
        """The names of the models that an address lists; none where it does not answer."""
        try:
            response = await self.client.get(f"{url}/models", timeout=min(LIVING, self.settings.timeout))
            if response.status_code in (401, 403):
                raise ModelError(
                    f"{url} asks for a key (status {response.status_code}); put it into the environment variable "
                    f"{self.settings.key_variable}"
                )
            return [model["id"] for model in response.json()["data"]] if response.status_code == 200 else ()
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ModelError(f'engine.server.addresses: "{url}": {error}; write it as http://host:port/v1') from error
        except (httpx.RequestError, ValueError, KeyError, TypeError):
            return ()


def rest_after(failures: int) -> float:
    """Seconds that a place rests where so many requests failed before."""
    return min(FIRST_REST * 2 ** min(failures, 20), LONGEST_REST)


def message(response: httpx.Response) -> str:
    """What a server says about an error, in one line."""
    try:
        said = response.json()
        error = said.get("error", said)
        text = error.get("message", error.get("detail", error)) if isinstance(error, dict) else error
    except (ValueError, AttributeError):
        text = response.text
    return " ".join(str(text).split())[:300]
