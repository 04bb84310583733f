"""The keys of one issuer as this process knows them: fetched early, kept through an outage, asked for rarely.

A thread refreshes them in the background (`due`). A token with a key of an unknown name may be the first
after a rotation: `seek` asks the issuer once more, never twice within `APART` seconds however many tokens
wait for it. While the issuer cannot be reached its last keys count for `max_stale` seconds, then none do.

    KeysUnavailable        nobody can say now whether a token is good
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gateway.identity.discovery import Place, ProviderError, fetch_keys
from gateway.identity.jwks import Key, KeySet

log = logging.getLogger(__name__)

EVERY: Final = 300.0
"""Seconds between two refreshes; a fifth more or less, so that processes do not ask together."""

APART: Final = 5.0
"""Seconds between two questions, whoever asks: what a flood of made-up key names can cost an issuer."""

PATIENCE: Final = 30.0
"""Seconds until a background refresh that failed is tried again."""

EARLY: Final = 0.01
"""Seconds that a timer of the loop may ring too early, generously: it counts in whole milliseconds."""

LONGEST: Final = 20.0
"""Seconds that a question may be waited for: a name server that hangs holds it for longer than any answer."""

WAITING: Final = 256
"""Calls that may wait for one answer. More are told to try again."""


class KeysUnavailable(Exception):
    pass


class KeySource:
    """One per issuer and process. Fetching blocks and is done in threads of its own, two at most: an issuer
    that hangs, be it that its name does not resolve, delays no other. Reading never blocks.
    """

    def __init__(
        self,
        place: Place,
        *,
        ask: Callable[[Place], KeySet] = fetch_keys,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.place = place
        self._ask, self._clock = ask, clock
        self._keys: KeySet | None = None
        self._fetched_at = self._asked_at = float("-inf")
        self._next = float("-inf")  # when the background asks
        self.failing = False  # the last question got no answer
        self._lock = threading.Lock()
        self._beside: threading.Thread | None = None
        self._flight: asyncio.Task[None] | None = None
        self._flown_at = float("-inf")
        self._waiting = 0

    @property
    def age(self) -> float:
        """Seconds since the issuer was last heard; infinite before the first time."""
        return self._clock() - self._fetched_at

    def keys(self, max_stale: float) -> KeySet | None:
        """The keys that count now, if any."""
        return self._keys if self._clock() - self._fetched_at <= max_stale else None

    def trusts(self, key: Key, max_stale: float) -> bool | None:
        """Whether a key that verified something still counts; None where nobody knows any more."""
        keys = self.keys(max_stale)
        return None if keys is None else keys.keys.get(key.kid) is key

    @property
    def due(self) -> bool:
        return self._clock() >= self._next

    def aged(self, max_stale: float) -> bool:
        """Whether an issuer that answers is to be asked early, since its keys count for a short time only."""
        return not self.failing and self.age >= max_stale / 2

    def refresh(self) -> None:
        """Ask the issuer, unless somebody did within `APART` seconds. Never raises."""
        with self._lock:
            now = self._clock()
            if now - self._asked_at < APART:
                return
            self._asked_at = now
            self._fetch()

    def refresh_beside(self) -> None:
        """The same, in a thread: unless the last one is still at it."""
        if self._beside is None or not self._beside.is_alive():
            self._beside = threading.Thread(target=self._safely, name="postern-keys", daemon=True)
            self._beside.start()

    async def seek(self, *, newer: bool) -> None:
        """Ask the issuer on behalf of a call; all that come meanwhile share the answer. Raises
        `KeysUnavailable` where the issuer could not be asked a moment ago either, or too many wait.

        `newer`: only a question that is asked from now on is an answer, since one on its way may have been
        answered before a rotation. Else any answer is, and one on its way is waited for.
        """
        if self._waiting >= WAITING:
            raise KeysUnavailable
        since = self._clock()
        self._waiting += 1
        try:
            await self._landed(newer)
            if newer and self._asked_at < since:
                await self._landed(newer)
        finally:
            self._waiting -= 1

    async def _landed(self, newer: bool) -> None:
        """The end of the question that is on its way, or of a new one."""
        if self.failing and self._clock() - self._asked_at < APART:
            raise KeysUnavailable
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._fly(newer))
            self._flown_at = self._clock()
        left = self._flown_at + LONGEST - self._clock()
        try:
            # One that leaves does not take the answer from the others.
            await asyncio.wait_for(asyncio.shield(self._flight), max(left, 0))
        except TimeoutError:
            raise KeysUnavailable from None

    async def _fly(self, newer: bool) -> None:
        wait = self._asked_at + APART - self._clock()
        if newer and wait > 0:
            await asyncio.sleep(wait + EARLY)
        await self._refreshed()

    async def _refreshed(self) -> None:
        loop = asyncio.get_running_loop()
        answered = asyncio.Event()

        def ask() -> None:
            self._safely()
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(answered.set)

        threading.Thread(target=ask, name="postern-keys", daemon=True).start()
        await answered.wait()

    def _safely(self) -> None:
        try:
            self.refresh()
        except Exception as error:  # whatever it is, the next question may be better
            self.failing = True
            log.error("keys of issuer %s: %s", self.place.issuer, type(error).__name__)

    def _fetch(self) -> None:
        jitter = random.uniform(0.8, 1.2)  # noqa: S311  spreads load, protects nothing
        try:
            found = self._ask(self.place)
        except ProviderError as error:
            self.failing = True
            self._next = self._clock() + PATIENCE * jitter
            log.warning("keys of issuer %s: %s", self.place.issuer, error.code)
            return
        self._keys = found.with_known(self._keys)
        self._fetched_at = self._clock()
        self.failing = False
        self._next = self._fetched_at + EVERY * jitter
