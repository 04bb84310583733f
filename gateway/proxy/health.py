"""Tells the store what this process's calls saw of each model's service; a thread beside the calls does it.

A call pays an attribute or two. Something new about a failure is told within seconds, that all is well twice
a minute.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, final

from django.db.utils import Error as DatabaseError

from gateway.proxy.beside import Beside
from gateway.proxy.pools import Seen
from gateway.upstreams.health import Report, calls_told

log = logging.getLogger(__name__)

STEP: Final = 5.0
"""Seconds between two looks at what is new."""

EVERY: Final = 30.0
"""Seconds between two times that all is well is told."""

Told = tuple[float, float, float]
"""Of a place: when calls last ended well, when one failed, when its breaker opened."""

NOTHING: Final[Told] = (0.0, 0.0, 0.0)


@final
class HealthLog:
    """One per process. What a killed process loses is the last seconds of it."""

    def __init__(self, seen: Callable[[], list[Seen]], *, clock: Callable[[], float] = time.time) -> None:
        self._seen, self._clock = seen, clock
        self._told: dict[Seen, Told] = {}
        self._beside = Beside("postern-health", STEP, self._safely)

    def start(self) -> None:
        self._beside.start()

    def stop(self) -> None:
        """Tell the rest."""
        self._beside.stop()

    def settle(self) -> None:
        """Raises a database error, and tells it again later."""
        seen = set(self._seen())
        due = {each: (each.ok_at, each.error_at, each.opened_at) for each in seen if self._is_due(each)}
        if due:
            calls_told(reports=[_report(each, now) for each, now in due.items()])
        kept = {each: told for each, told in self._told.items() if each in seen}
        self._told = {**kept, **due}

    def _is_due(self, seen: Seen) -> bool:
        ok_at, error_at, opened_at = self._told.get(seen, NOTHING)
        if seen.opened_at > opened_at or (seen.error_at > error_at and self._clock() - error_at >= STEP):
            return True
        back = ok_at < error_at < seen.ok_at  # the first that passes after a failure
        return seen.ok_at > ok_at and (back or self._clock() - ok_at >= EVERY)

    def _safely(self) -> None:
        try:
            self.settle()
        except DatabaseError as error:
            log.warning("the health of endpoints could not be told: %s", type(error).__name__)
        except Exception as error:  # whatever it is, the next look may be better
            log.error("the health of endpoints could not be told: %s", type(error).__name__)


def _report(seen: Seen, now: Told) -> Report:
    ok_at, error_at, opened_at = map(_moment, now)
    latency = round(seen.latency * 1000) if seen.latency else None
    return Report(seen.endpoint_id, seen.origin, ok_at, latency, error_at, seen.error, opened_at)


def _moment(at: float) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if at else None
