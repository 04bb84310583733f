"""What callers write about their requests, as it may be kept: scrubbed beside everything else.

What scrubs has to be compiled first, which takes seconds on a machine that has not seen a schema. That is
done while the process starts, and it is not ready before. A purpose that comes sooner, or right after a
schema was published, waits for it for a while and is not refused at once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final, final

from django.db import connections

from approvals.asking import connected
from policies import store
from policies.services import scrub

log = logging.getLogger(__name__)

PATIENCE: Final = 10.0
"""Seconds that a purpose waits for what is being compiled."""

AGAIN: Final = 1.0
"""Seconds until it is tried again to read what scrubs, while the database does not answer."""


@final
class Scrubbing:
    """One per process, with a thread of its own: nobody else waits for a compiler."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="postern-scrubbing")
        self._stopped, self._ready = threading.Event(), threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._warm, name="postern-scrubbers", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def ready(self) -> bool:
        """Whether what scrubbed when the process started has been compiled."""
        return self._ready.is_set()

    async def scrubbed(self, text: str, scrubbers: store.Scrubbers) -> str:
        """Raises `TimeoutError`, and `NotInForce` where a schema in force does not compile any more."""
        async with asyncio.timeout(PATIENCE):
            loop = asyncio.get_running_loop()
            kept = await loop.run_in_executor(self._threads, scrub, text, scrubbers)
        return kept.data.decode()

    def _warm(self) -> None:
        while not self._stopped.is_set() and not self.ready:
            try:
                connected(store.scrubbers_prepared)()
                self._ready.set()
            except store.NotInForce as error:
                log.error("no purpose can be kept: %s", error)
                self._ready.set()  # waiting would mend nothing, and calls that state none go on
            except Exception as error:  # the database is away: that may pass
                log.warning("what scrubs is not ready: %s", type(error).__name__)
                self._stopped.wait(AGAIN)
        connections.close_all()
