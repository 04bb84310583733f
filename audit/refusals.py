"""Calls refused before anybody is known: counted, and only sampled as rows: a flood fills no store."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, final

_SAMPLES = 10  # rows per minute
_MINUTE = 60.0
_FLUSH = 10.0  # seconds between entries
_NETWORKS = 50  # told apart in one entry


@final
class Refusals:
    """Used by one event loop."""

    def __init__(self) -> None:
        self._codes: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()
        self._minute = self._flushed = time.monotonic()
        self._samples = 0

    def count(self, *, code: str, network: str) -> bool:
        """Count one; True if it may be recorded as a call as well."""
        self._codes[code] += 1
        known = network in self._networks or len(self._networks) < _NETWORKS
        self._networks[network if known else "other"] += 1
        return self._sample(time.monotonic())

    def _sample(self, now: float) -> bool:
        if now - self._minute >= _MINUTE:
            self._minute, self._samples = now, 0
        self._samples += 1
        return self._samples <= _SAMPLES

    def due(self) -> bool:
        return time.monotonic() - self._flushed >= _FLUSH

    def take(self) -> dict[str, Any] | None:
        """What was counted since the last time, as an event's content."""
        if not self._codes:
            return None
        codes, networks = dict(self._codes), dict(self._networks)
        self._codes.clear()
        self._networks.clear()
        self._flushed = time.monotonic()
        return {"event": "calls.refused", "codes": codes, "networks": networks}
