"""Calls refused before anybody is known, and those of callers far beyond their limits: counted, and only
sampled as rows: a flood fills no store."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, final

_SAMPLES = 10  # rows per minute
_MINUTE = 60.0
_FLUSH = 10.0  # seconds between entries
_NAMES = 50  # of networks and of callers, told apart in one entry


@final
class Refusals:
    """Used by one event loop."""

    def __init__(self) -> None:
        self._codes: Counter[str] = Counter()
        self._networks: Counter[str] = Counter()
        self._callers: Counter[str] = Counter()
        self._minute = self._flushed = time.monotonic()
        self._samples = 0

    def count(self, *, code: str, network: str, caller: str = "") -> bool:
        """Count one; True if it may be recorded as a call as well. Those of a known caller use no sample."""
        self._codes[code] += 1
        _add(self._networks, network)
        if caller:
            _add(self._callers, caller)
            return False
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
        content: dict[str, Any] = {"event": "calls.refused"}
        for name, counted in (
            ("codes", self._codes),
            ("networks", self._networks),
            ("callers", self._callers),
        ):
            if counted:
                content[name] = dict(counted)
                counted.clear()
        self._flushed = time.monotonic()
        return content


def _add(counted: Counter[str], name: str) -> None:
    counted[name if name in counted or len(counted) < _NAMES else "other"] += 1
