"""Several addresses of one service, some of them dead at times: who is asked next, and when a dead one is tried again.

An address that fails rests for a growing while; once it lists its model again, it is asked again. A request goes from one to
another until one answers. All of it runs in one event loop. Knows requests and replies as JSON, nothing of what they say.
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
"""Seconds that an address rests after its first failure, and at most."""
MOST_FAILURES = 8
"""Times that a request may fail on servers that live: it is the request that is wrong then."""
LIVING = 10.0
"""Seconds in which a living server takes a connection, and lists its models."""
KEPT = 2.0
"""Seconds that an idle connection is kept: less than servers keep theirs, so that none is closed under a request."""


@dataclass(slots=True)
class Address:
    """One address. life: counts how often it has died, so that the requests that died with it count as one failure."""

    url: str
    alive: bool = False
    busy: int = 0
    failures: int = 0
    life: int = 0


class Failure(Exception):
    """One try that gave no answer. lasting: whether the server lives and would fail in the same way again."""

    def __init__(self, reason: str, lasting: bool) -> None:
        super().__init__(reason)
        self.lasting = lasting


class Addresses:
    """Asks whichever of the addresses is alive and least busy; at most settings.in_flight requests at once each.

    model: the name that an address must list to be asked. All methods belong to the event loop that `open` runs in.
    """

    def __init__(self, settings: ServerSettings, model: str, key: str | None) -> None:
        self.settings, self.model = settings, model
        self.all = [Address(url.rstrip("/")) for url in settings.addresses]
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.revivals: dict[str, asyncio.Task] = {}
        self.despair: ModelError | None = None
        self.warned = False

    async def open(self, cure: str) -> None:
        """Find out which addresses serve the model. Raises ModelError, with the cure, where none does."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEPT)
        timeout = httpx.Timeout(self.settings.timeout, connect=LIVING, pool=None)
        self.client = httpx.AsyncClient(headers=self.headers, timeout=timeout, limits=limits)
        self.changed = asyncio.Condition()
        self.heard = time.monotonic()
        states = await asyncio.gather(*(self._models(address) for address in self.all))
        for address, models in zip(self.all, states, strict=True):
            address.alive = models is not None and self.model in models
        if not any(address.alive for address in self.all):
            seen = [f"{a.url}: {'no answer' if m is None else ', '.join(m)}" for a, m in zip(self.all, states, strict=True)]
            raise ModelError(
                f'no server of engine.server.addresses serves "{self.model}" ({"; ".join(seen)}); start one with: {cure}'
            )
        for address, models in zip(self.all, states, strict=True):
            if models is None:
                self._rest(address, "no answer")
            elif not address.alive:
                LOG.info('%s serves %s, not "%s"; it is not asked', address.url, ", ".join(models), self.model)

    async def close(self) -> None:
        for task in self.revivals.values():
            task.cancel()
        await self.client.aclose()

    def begin(self) -> None:
        """Requests come after a while without any: patience counts from now."""
        self.heard, self.despair = time.monotonic(), None

    async def ask(self, path: str, body: Any) -> Any:
        """The reply of some address to a POST. Raises ModelError for a request that is refused, and where patience ends."""
        failures = 0
        while True:
            address = await self._take()
            life = address.life
            try:
                reply = await self._post(address, path, body)
            except Failure as failure:
                if address.life == life:
                    self._rest(address, str(failure))
                failures += failure.lasting
                if not failure.lasting and self.silence > self.settings.patience:
                    raise self._patience_ends(address, str(failure)) from failure
                if failures >= MOST_FAILURES:
                    raise ModelError(
                        f"{address.url} failed {failures} times on one request ({failure}); see the server's log, and run the "
                        "same command again to continue"
                    ) from failure
            else:
                self.heard = time.monotonic()
                if address.life == life:
                    address.failures = 0
                return reply
            finally:
                address.busy -= 1
                await self._notify()

    async def _take(self) -> Address:
        """The least busy living address, once there is one with room."""

        def free() -> list[Address]:
            return [address for address in self.all if address.alive and address.busy < self.settings.in_flight]

        async with self.changed:
            await self.changed.wait_for(lambda: self.despair or free())
            if self.despair:
                raise self.despair
            address = min(free(), key=lambda address: address.busy)
            address.busy += 1
            return address

    async def _post(self, address: Address, path: str, body: Any) -> Any:
        try:
            response = await self.client.post(f"{address.url}/{path}", json=body)
        except httpx.ReadTimeout as error:
            raise Failure(f"no answer within {self.settings.timeout:g} s", True) from error
        except httpx.RequestError as error:
            raise Failure(str(error) or type(error).__name__, False) from error
        status = response.status_code
        if status == 429 or status >= 500:
            passing = status in (429, 502, 503, 504)  # a server, or what stands before it, that is full or starts
            raise Failure(f"status {status}: {message(response)}", not passing)
        if status >= 400:
            raise ModelError(f"{address.url} refuses a request (status {status}): {message(response)}")
        try:
            return response.json()
        except ValueError as error:
            raise ModelError(f"{address.url} answers with something else than JSON; is it a completions server?") from error

    def _rest(self, address: Address, reason: str) -> None:
        """Leave an address alone for a while."""
        address.alive = False
        address.life += 1
        self.revivals[address.url] = asyncio.create_task(self._revive(address, reason))

    async def _revive(self, address: Address, reason: str) -> None:
        """Try a resting address, ever more seldom, until it serves the model again."""
        tries = 0
        while not address.alive:
            await asyncio.sleep(rest_after(address.failures) * random.uniform(0.75, 1.25))
            address.failures += 1
            tries += 1
            try:
                address.alive = self.model in (await self._models(address) or ())
            except ModelError as error:
                self.despair = error
            if address.alive and tries > 1:  # it was away, not just full
                self.heard, self.warned = time.monotonic(), False
            elif not any(other.alive for other in self.all):
                self._wait_or_despair(address, reason)
            await self._notify()

    def _wait_or_despair(self, address: Address, reason: str) -> None:
        """No address is alive: wait on, saying so once, or give up."""
        if self.silence > self.settings.patience:
            self.despair = self._patience_ends(address, reason)
        elif not self.warned:
            self.warned = True
            LOG.warning("no server answers (%s: %s); waiting up to %g s", address.url, reason, self.settings.patience)

    @property
    def silence(self) -> float:
        """Seconds since the last answer."""
        return time.monotonic() - self.heard

    def _patience_ends(self, address: Address, reason: str) -> ModelError:
        return ModelError(
            f"no server has answered for {self.silence:.0f} s ({address.url}: {reason}); "
            "start the server and run the same command again to continue"
        )

    async def _models(self, address: Address) -> Sequence[str] | None:
        """The names of the models that an address lists; None where it does not answer."""
        try:
            response = await self.client.get(f"{address.url}/models", timeout=min(LIVING, self.settings.timeout))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ModelError(f'engine.server.addresses: "{address.url}": {error}; write it as http://host:port/v1') from error
        except httpx.RequestError:
            return None
        if response.status_code in (401, 403):
            raise ModelError(
                f"{address.url} asks for a key (status {response.status_code}); put it into the environment variable "
                f"{self.settings.key_variable}"
            )
        try:
            return [model["id"] for model in response.json()["data"]] if response.status_code == 200 else None
        except (ValueError, KeyError, TypeError):
            return None

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()


def rest_after(failures: int) -> float:
    """Seconds that an address rests that failed so often before."""
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
