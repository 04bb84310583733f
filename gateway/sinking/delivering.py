"""The sweep that tells every sink what is new, each stream in its order, until nothing is left or time is up.

A sink is fed by one worker at a time, under a lease. Should two do so after all, both begin at the place that
the sink has confirmed and send what comes after it in order: it gets some entries twice, and none before one
that it lacks. The place moves only after the sink took the entries, by compare-and-set.

Threads speak to sinks, the store is asked and told here; a sink that is slow keeps no other waiting.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from typing import Any, Final, final
from uuid import uuid4

from django.conf import settings

from audit import ids, sinks
from audit.sinks import Place, Portion
from gateway.sinking.addresses import sinks_of_settings
from gateway.sinking.places import Sink, SinkFailed

log = logging.getLogger(__name__)

BUDGET: Final = 4.0
"""Seconds after which a sweep begins nothing more; the next one comes after five."""

LEASE: Final = 20.0
"""Longer than one portion may take. A worker that was killed keeps its sinks waiting for so long."""
PORTION: Final = 500
"""Entries at once."""

MOST_BYTES: Final = 1 << 20
"""Of their metadata; one entry is sent whatever its size."""

SLOW: Final = 1.0
"""Seconds for one portion after which the other sinks are looked after meanwhile, beyond the budget."""

BEYOND: Final = 30.0
"""But not for longer than this, should several be slow in turn."""

PAUSE: Final = 0.5
RESTED: Final = timedelta(seconds=30)
"""How often it is written down that a sink has everything."""

BACKOFF: Final = tuple(timedelta(seconds=seconds) for seconds in (2, 5, 10, 20, 40, 60))

_sweeping = threading.Lock()


def sweep() -> int:
    """Tell every sink what it lacks; returns how many entries were taken. One at a time in a process."""
    if not _sweeping.acquire(blocking=False):
        return 0
    try:
        found = sinks_of_settings()
        sinks.sinks_forget(sink.name for sink in found)
        feeds = [Feed(sink) for sink in found]
        return _drain([feed for feed in feeds if feed.begin()])
    finally:
        _sweeping.release()


@final
class Feed:
    """One sink during one sweep."""

    def __init__(self, sink: Sink) -> None:
        self.sink, self.name = sink, sink.name[:255]
        self.taken = 0
        self._holder = uuid4()
        self._places: deque[Place] = deque()
        self._looked_at: datetime | None = None
        self._rests_until = 0.0
        self._over = False

    def begin(self) -> bool:
        """Whether there is something to do here, and nobody else does it."""
        row = sinks.sink_named(self.name, from_start=settings.AUDIT_SINKS_BEGIN == "start")
        now = ids.now()
        if row.next_at is not None and row.next_at > now:
            return False
        rested = row.drained_at is not None and now - row.drained_at < RESTED and not row.error
        if rested and not sinks.places(row):
            return False
        return sinks.lease_take(self.name, self._holder, seconds=LEASE)

    def next(self) -> Portion | None:
        """What to send now, from one stream after the other. None: nothing, for the moment or for good."""
        if self._over or time.monotonic() < self._rests_until:
            return None
        self._look()
        while self._places:
            portion = _bounded(sinks.portion_after(self._places.popleft(), limit=PORTION))
            if portion.entries:
                return portion
            self._moved(portion)
        self._rests_until = time.monotonic() + PAUSE
        return None

    def settle(self, portion: Portion, error: str) -> None:
        if not error:
            self.taken += len(portion.entries)
            self._moved(portion)
            return
        self._over = True
        row = sinks.sink_named(self.name, from_start=False)
        if not row.failures:
            log.warning("the sink %s %s", self.name, error)
        sinks.portion_refused(self.name, error, again=BACKOFF[min(row.failures, len(BACKOFF) - 1)])

    def end(self, *, whole: bool) -> None:
        """`whole`: nothing went wrong on our side, so that what was looked at is what there was."""
        drained = None if self._places or self._over or not whole else self._looked_at
        sinks.lease_end(self.name, self._holder, drained_at=drained)

    def _look(self) -> None:
        """Again once all streams are told as far as they went: a stream that goes on all the time is not
        followed in small steps."""
        if not self._places:
            self._looked_at = ids.now()
            row = sinks.sink_named(self.name, from_start=False)
            self._places.extend(sinks.places(row))

    def _moved(self, portion: Portion) -> None:
        """If there is more of the stream, its next turn is after the others."""
        place = sinks.portion_taken(self.name, self._holder, portion, lease=LEASE)
        if place is None:
            self._over = True
        elif place.sequence < place.end:
            self._places.append(place)


def _drain(feeds: Sequence[Feed]) -> int:
    if not feeds:
        return 0
    ends = time.monotonic() + BUDGET
    sending: dict[Future[str], tuple[Feed, Portion, float]] = {}
    whole = False
    try:
        with ThreadPoolExecutor(len(feeds), thread_name_prefix="postern-sinks") as threads:
            while True:
                now = time.monotonic()
                slow = any(now - since > SLOW for _, _, since in sending.values())
                for feed in _idle(feeds, sending) if now < ends + (BEYOND if slow else 0.0) else ():
                    if (portion := feed.next()) is not None:
                        sending[threads.submit(_sent, feed.sink, portion)] = feed, portion, now
                if not sending:
                    break
                done, _ = wait(sending, timeout=PAUSE, return_when=FIRST_COMPLETED)
                for each in done:
                    feed, portion, _ = sending.pop(each)
                    feed.settle(portion, each.result())
        whole = True
    finally:
        for feed in feeds:
            feed.end(whole=whole)
    return sum(feed.taken for feed in feeds)


def _idle(feeds: Sequence[Feed], sending: Mapping[Any, tuple[Feed, Portion, float]]) -> list[Feed]:
    busy = {id(feed) for feed, _, _ in sending.values()}
    return [feed for feed in feeds if id(feed) not in busy]


def _sent(sink: Sink, portion: Portion) -> str:
    """Empty if it was taken, else why not. Whatever else goes wrong is one sink's own misfortune."""
    try:
        sink.take(portion.place.id, portion.place.stream, portion.entries)
    except SinkFailed as failed:
        return str(failed)
    except Exception as error:
        log.exception("the sink %s cannot be told", sink.name)
        return f"cannot be told: {type(error).__name__}"
    return ""


def _bounded(portion: Portion) -> Portion:
    """Cut where it grows too large."""
    size = 0
    for count, entry in enumerate(portion.entries):
        size += len(entry.meta)
        if count and size > MOST_BYTES:
            entries = portion.entries[:count]
            return Portion(portion.place, entries, entries[-1].sequence)
    return portion
