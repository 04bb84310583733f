"""One lock per SQLite file and process, taken before BEGIN IMMEDIATE by every writer of the process.

SQLite's own busy handler polls with growing sleeps and is unfair: beside a busy recorder an ORM write then
waits for seconds. A waiting thread here is woken the moment the writer before it commits.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import final


@final
class WriteLock:
    """A lock that its holder may take again, and that one thread may release for another.

    Django closes a connection from another thread in tests, and a generator may end a transaction elsewhere:
    ownership therefore belongs to an object (the connection), not to the thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: object | None = None

    def acquire(self, holder: object, timeout: float) -> bool:
        """Take the lock for `holder`; False when it was not free within `timeout` seconds."""
        if self._holder is holder:
            return True
        if not self._lock.acquire(timeout=timeout):
            return False
        self._holder = holder
        return True

    def release(self, holder: object) -> None:
        """Give the lock back; nothing happens when `holder` does not have it."""
        if self._holder is holder:
            self._holder = None
            self._lock.release()


_locks: dict[str, WriteLock] = {}
_registry = threading.Lock()


def write_lock(database: str) -> WriteLock:
    """The lock of one database file, however its path is written."""
    name = (
        database if database.startswith("file:") or database == ":memory:" else str(Path(database).resolve())
    )
    with _registry:
        return _locks.setdefault(name, WriteLock())
