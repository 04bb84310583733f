"""The recorder: what the data path calls. Nothing is sent before `admit` returns, nothing released before
`segment` does.

    StoreUnavailable         the record cannot be made now: 503, or cut the stream
    GuardFailed              what the entry was to rest on is not there: nothing was written
"""

from __future__ import annotations

import threading
import time
from asyncio import Future, get_running_loop
from collections.abc import Callable
from typing import Any, final
from uuid import UUID

from django.conf import settings
from django.db import connections

from audit.batch import Item
from audit.keys import KeyDirectory
from audit.records import Admission, Close, Guard, Recordable, Release, SealedOriginal
from audit.refusals import Refusals
from audit.sessions import Sessions
from audit.store import Store
from audit.waiting import Desks, GuardFailed, StoreUnavailable
from audit.worker import Worker

__all__ = ["GuardFailed", "Recorder", "StoreUnavailable"]

_PATIENCE = 0.9  # seconds; with the watchdog's tick a caller knows within 1, of the 2 that are promised
_QUEUE = 20_000  # items; beyond it waiting would be longer than anybody's patience
_START = 2.0


def _now() -> int:
    return time.time_ns() // 1_000_000


@final
class Recorder:
    """One per process: a thread that commits in groups what coroutines hand it.

    Settings: `AUDIT_SESSION_GAP`, the seconds of silence that end a session (1800), and
    `AUDIT_SESSION_HINT_GAP`, the same where a hint of the caller ties the calls together (86400).
    """

    def __init__(
        self, *, keys: KeyDirectory, clock: Callable[[], int] = _now, database: str = "default"
    ) -> None:
        gap = float(getattr(settings, "AUDIT_SESSION_GAP", 1800))
        hinted = float(getattr(settings, "AUDIT_SESSION_HINT_GAP", 86_400))
        self._worker = Worker(store_of(database), keys, Sessions(gap, hinted), clock)
        self._refusals = Refusals()
        self._desks = Desks(self._worker.hand_over)
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self) -> None:
        """Start recording. Returns when the instance is registered, or after 2 s with `healthy` False."""
        self._thread = threading.Thread(target=self._worker.run, name="recorder", daemon=True)
        self._thread.start()
        self._worker.ready.wait(_START)

    def stop(self, timeout: float) -> None:
        """Write everything that was handed in, then end the thread; gives up after `timeout` seconds."""
        self._flush_refusals()
        self._stopped = True
        self._desks.flush()
        self._worker.stop(timeout)
        if self._thread is not None:
            self._thread.join(timeout)

    async def admit(
        self, admission: Admission, *, guard: Guard | None = None, view: Recordable | None = None
    ) -> None:
        """Returns when the admission is durable; only then may bytes go upstream.

        `view`: of a held call what its reviewers see. Raises GuardFailed where `guard` did not hold.
        """
        await self._handed_in(Item("admit", admission.call_id, admission, guard=guard, view=view))

    async def release(self, call_id: UUID, release: Release, *, guard: Guard | None = None) -> None:
        """An admitted call that was held may go on. Returns when that is durable; see `admit`."""
        await self._handed_in(Item("release", call_id, release=release, guard=guard))

    async def segment(
        self,
        call_id: UUID,
        part: Recordable,
        *,
        final: bool = False,
        original: SealedOriginal | None = None,
    ) -> None:
        """Returns when this part of the response is durable; only then may it be released."""
        await self._handed_in(Item("segment", call_id, None, part, final, original=original))

    async def keep(self, call_id: UUID, original: SealedOriginal) -> None:
        """Returns when an original is durable that comes with no part of the response: nobody reads on."""
        await self._handed_in(Item("original", call_id, original=original))

    async def refuse(self, admission: Admission, close: Close) -> None:
        """A call that is not going to happen: admission and close in one commit."""
        await self._handed_in(Item("refuse", admission.call_id, admission, close=close))

    def close(self, call_id: UUID, close: Close) -> None:
        """How the call ended. Not awaited; kept while the store is away. The first close counts."""
        item = Item("close", call_id, close=close)
        try:
            loop = get_running_loop()
        except RuntimeError:
            self._worker.hand_over([item])
        else:
            self._desks.of(loop).drop(item)

    def count_refusal(self, *, code: str, network: str, caller: str = "") -> bool:
        """Count a refusal of which there may be very many: of nobody known, or of a caller beyond their
        limits. True if this one should also become a row."""
        sampled = self._refusals.count(code=code, network=network, caller=caller)
        if self._refusals.due():
            self._flush_refusals()
        return sampled

    @property
    def healthy(self) -> bool:
        """Registered, and the last attempt to commit succeeded."""
        worker = self._worker
        return worker.ready.is_set() and not worker.failing and not worker.stuck() and self.running

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive() and not self._stopped

    @property
    def queue_depth(self) -> int:
        """Items that wait for the next batch."""
        return self._worker.waiting

    @property
    def commits(self) -> int:
        """Transactions committed since the start."""
        return self._worker.commits

    @property
    def instance(self) -> UUID:
        return self._worker.instance

    def _handed_in(self, item: Item) -> Future[None]:
        """What the item's coroutine waits for."""
        worker = self._worker
        begins = item.admission is not None  # what has begun may wait: the next commit perhaps succeeds
        down = worker.is_down() if begins else worker.stuck()
        if self._stopped or down or worker.waiting > _QUEUE:
            raise StoreUnavailable("the recorder is stopped, overrun or without a store")
        loop = get_running_loop()
        item.loop, item.future = loop, (future := loop.create_future())
        item.deadline = loop.time() + _PATIENCE
        self._desks.of(loop).wait(item)
        return future

    def _flush_refusals(self) -> None:
        counted: dict[str, Any] | None = self._refusals.take()
        if counted:
            self._worker.hand_over([Item("event", meta=counted)])


def store_of(database: str) -> Store:
    """The store of a configured database. The modules are loaded by need: psycopg is not small."""
    connection = connections[database]
    if connection.vendor == "postgresql":
        from audit.store_postgresql import PostgreSQLStore

        return PostgreSQLStore(connection.get_connection_params())
    from audit.store_sqlite import SQLiteStore

    return SQLiteStore(connection.get_connection_params())
