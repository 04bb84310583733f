"""Asks the store who calls for the first time, with a token or a key: off the loop, and for many at once.

One question at a time, in one thread, and only so many wait: made-up keys cost one look-up each, and delay
nobody whom this process has met.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import islice
from typing import Final, Generic

from django.db import close_old_connections, connection
from django.db.utils import Error as DatabaseError

from gateway.identity.discovery import ProviderDown
from gateway.identity.key_source import KeysUnavailable
from gateway.proxy import snapshot as store
from gateway.proxy.desk import Desk
from gateway.proxy.holders import BATCH
from gateway.proxy.keyholders import keyholders, living_digests
from gateway.proxy.known import known, now
from gateway.proxy.locking import locks_at
from gateway.proxy.met import Key, Met, Who
from gateway.proxy.routes import Caller, Known, Name

log = logging.getLogger(__name__)

WAITING: Final = 5_000
"""Names, and keys, that may wait for the next questions. More are told to try again."""

Answer = tuple[Mapping[Key, Who | None], int]
"""Whom the store had under each, after this revision had been read."""


class Meeting(Generic[Key, Who]):
    """Lives on one loop. One question is on its way at a time, for all who came while the last one was."""

    def __init__(self, met: Met[Key, Who], read: Callable[[Collection[Key]], Answer[Key, Who]]) -> None:
        self._met, self._read = met, read
        self._desk = Desk(1, "postern-meeting")
        self._waiting: dict[Key, asyncio.Future[None]] = {}
        self._flight: asyncio.Task[None] | None = None

    def close(self) -> None:
        self._desk.close(lambda: connection.close())

    async def meet(self, names: Collection[Key]) -> None:
        """Have whoever bears these names known. Raises `ProviderDown` and `KeysUnavailable`."""
        if len(self._waiting) >= WAITING:
            raise KeysUnavailable
        new = asyncio.get_running_loop().create_future
        answers = [self._waiting.get(name) or self._waiting.setdefault(name, new()) for name in names]
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._ask())
        for answer in answers:
            await asyncio.shield(answer)  # one that leaves does not take the answer from the others

    async def _ask(self) -> None:
        while self._waiting:
            names = list(islice(self._waiting, BATCH))  # who came first
            waiting = [self._waiting.pop(name) for name in names]
            self._met.asks(names)  # before the revision is read: see `met.py`
            failed = None
            try:
                self._met.learn(*await self._desk.done(lambda names=names: _asked(self._read, names)))  # type: ignore[misc]
            except Exception as error:
                failed = error
                why = error.code if isinstance(error, ProviderDown) else type(error).__name__
                log.warning("callers could not be looked up: %s", why)
            for answer in waiting:
                if failed is None:
                    answer.set_result(None)
                else:
                    answer.set_exception(failed)
                    answer.exception()  # whoever waits has it; nobody may be waiting any more


def _asked(read: Callable[[Collection[Key]], Answer[Key, Who]], names: Collection[Key]) -> Answer[Key, Who]:
    try:
        close_old_connections()  # one that failed is not asked again
        return read(names)
    except DatabaseError as error:
        raise ProviderDown(type(error).__name__) from None


def read_names(names: Collection[Name]) -> Answer[Name, Known]:
    """Who bears these names at their issuers."""
    revision = store.revision()
    found = known(locks_at(now()), names)
    return {name: found.get(name) for name in names}, revision


def read_keys(digests: Collection[bytes]) -> Answer[bytes, Caller]:
    """Who holds the keys of these digests. Most that are asked for may be nobody's, which one look tells."""
    revision, at = store.revision(), now()
    held = living_digests(at, digests)
    found = keyholders(locks_at(at), at, held) if held else {}
    return {each: _since(found.get(each), revision) for each in digests}, revision


def _since(caller: Caller | None, revision: int) -> Caller | None:
    return replace(caller, since=revision) if caller else None
