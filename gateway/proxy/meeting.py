"""Asks the store who comes with a token for the first time: off the loop, and for many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Final

from django.db import connection
from django.db.utils import Error as DatabaseError

from gateway.identity.discovery import ProviderDown
from gateway.identity.key_source import KeysUnavailable
from gateway.proxy import snapshot as store
from gateway.proxy.desk import Desk
from gateway.proxy.known import Met, known, now
from gateway.proxy.locking import locks_at
from gateway.proxy.routes import Known, Name

WAITING: Final = 5_000
"""Names that may wait for the next question. More are told to try again."""


class Meeting:
    """Lives on one loop. One question is on its way at a time, for all who came while the last one was."""

    def __init__(self, met: Met) -> None:
        self._met = met
        self._desk = Desk(1, "postern-meeting")
        self._waiting: dict[Name, asyncio.Future[None]] = {}
        self._flight: asyncio.Task[None] | None = None

    def close(self) -> None:
        self._desk.close()

    async def meet(self, names: Collection[Name]) -> None:
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
            waiting, self._waiting = self._waiting, {}
            self._met.add(waiting)  # before the revision is read: see `Met`
            names = list(waiting)
            failed = None
            try:
                self._met.learn(*await self._desk.done(lambda names=names: _read(names)))  # type: ignore[misc]
            except Exception as error:
                failed = error
            for answer in waiting.values():
                if failed is None:
                    answer.set_result(None)
                else:
                    answer.set_exception(failed)
                    answer.exception()  # whoever waits has it; nobody may be waiting any more


def _read(names: Collection[Name]) -> tuple[Mapping[Name, Known | None], int]:
    try:
        revision = store.revision()
        found = known(locks_at(now()), names)
    except DatabaseError as error:
        raise ProviderDown(type(error).__name__) from None
    finally:
        connection.close()
    return {name: found.get(name) for name in names}, revision
