"""Work that a call waits for and the event loop must not: in few threads, and once for all who ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Final, TypeVar

from gateway.identity.key_source import KeysUnavailable

WAITING: Final = 256
"""Things that may be waited for at one time. More are told to try again."""

Found = TypeVar("Found")


class Desk:
    """Lives on one loop."""

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._flights: dict[bytes, asyncio.Task[Any]] = {}

    def close(self, last: Callable[[], object] | None = None) -> None:
        """End; of a desk with one thread, do `last` in it before."""
        if last is not None:
            wait([self._pool.submit(last)], timeout=5)
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def done(self, work: Callable[[], Found]) -> Found:
        """What `work` returns, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def once(self, key: bytes, work: Callable[[], Coroutine[Any, Any, Found]]) -> Found:
        """However many ask for the same thing at once, it is done once. Raises `KeysUnavailable`."""
        flight = self._flights.get(key)
        if flight is None:
            if len(self._flights) >= WAITING:
                raise KeysUnavailable
            flight = self._flights[key] = asyncio.create_task(work())
            flight.add_done_callback(lambda task: self._landed(key, task))
        found: Found = await asyncio.shield(flight)  # one that leaves does not end it for the others
        return found

    def _landed(self, key: bytes, flight: asyncio.Task[Any]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # whoever waited has it; nobody may be waiting any more
