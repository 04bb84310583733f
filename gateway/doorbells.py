"""The broker of the embedded shape: a folder in which every message is one file.

A message appears whole or not at all, and what lies there half written ends no worker: kombu's own transport
for a folder reads files that are still being written, and one kill at the wrong moment leaves it an empty
table on which every later worker ends (decision 0004).
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from queue import Empty
from typing import Any
from uuid import uuid4

from kombu.transport import virtual
from kombu.utils.json import dumps, loads

logger = logging.getLogger(__name__)

WHOLE = ".message"
TAKEN = ".taken"


class Channel(virtual.Channel):
    """Queues as folders below `transport_options["folder"]`; bindings live in each process's memory."""

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        folder = self._folder(queue)
        name = f"{time.time_ns():020d}-{uuid4().hex}"
        unfinished = folder / name
        unfinished.write_text(dumps(message))
        unfinished.rename(folder / f"{name}{WHOLE}")

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        for path in self._waiting(queue):
            taken = path.with_suffix(TAKEN)
            try:
                path.rename(taken)  # of several workers one succeeds
            except FileNotFoundError:
                continue
            text = taken.read_text(errors="replace")
            taken.unlink()
            try:
                return loads(text)
            except ValueError:  # after a loss of power, say
                logger.error("dropped a broken message for the queue %s; the sweeps find what is due", queue)
        raise Empty

    def _size(self, queue: str) -> int:
        return len(self._waiting(queue))

    def _purge(self, queue: str) -> int:
        waiting = self._waiting(queue)
        for path in waiting:
            path.unlink(missing_ok=True)
        return len(waiting)

    def _waiting(self, queue: str) -> list[Path]:
        """Oldest first."""
        return sorted(self._folder(queue).glob(f"*{WHOLE}"))

    def _folder(self, queue: str) -> Path:
        client: Any = self.connection.client
        folder = Path(client.transport_options["folder"], queue)
        os.makedirs(folder, exist_ok=True)
        return folder


class Transport(virtual.Transport):
    """Named in settings as `CELERY_BROKER_TRANSPORT`."""

    Channel = Channel
    global_state = virtual.BrokerState()
    driver_type = "filesystem"
    driver_name = "postern"
