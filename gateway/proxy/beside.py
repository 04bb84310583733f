"""A thread beside the calls: takes a step every so often, and a last one when the process ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import close_old_connections, connection


class Beside:
    """One thread. The step deals with its own errors: one that gets out ends the thread."""

    def __init__(self, name: str, every: float, step: Callable[[], None]) -> None:
        """`every`: seconds between two steps."""
        self._every, self._step = every, step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take the last step and end; nobody waits longer than five seconds."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            close_old_connections()  # one that failed is not asked again
            self._step()
        self._step()
        connection.close()
