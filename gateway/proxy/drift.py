"""Remembers which unclassified fields calls held, for `/drift/`: paths and shapes, never values.

A call costs a look-up: whether it is one of those that are looked at. What they held is counted in memory and
written by a thread. Nothing is dropped unsaid: what finds no room is counted under `fields.MORE`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest
from django.db.utils import Error as DatabaseError

from gateway.models import Endpoint, FieldState, StructuredField
from gateway.proxy.beside import Beside
from policies.engine.fields import MORE
from policies.engine.types import FieldSeen

log = logging.getLogger(__name__)

EVERY: Final = 1.0
"""Seconds between the calls of one endpoint that a process looks at, in the long run."""

AT_ONCE: Final = 20
"""Calls that may be looked at in a row after a pause, so that a quiet endpoint is seen whole."""

FLUSH: Final = 2.0  # seconds
BATCH: Final = 50  # fields in one transaction: on SQLite the record waits for it
MAX_PENDING: Final = 5_000  # fields that wait to be written, of all endpoints
MAX_ROWS: Final = 500  # rows of one endpoint, `MORE` aside
FORGOTTEN: Final = timedelta(days=30)
"""Fields that nobody decided about and no call held for so long make room when an endpoint is full."""


@dataclass(slots=True)
class Sightings:
    """How often one field was seen since the last flush. Unix seconds."""

    calls: int
    first: float
    last: float

    def add(self, other: Sightings) -> None:
        self.calls += other.calls
        self.first = min(self.first, other.first)
        self.last = max(self.last, other.last)


Pending = dict[FieldSeen, Sightings]


class FieldLog:
    """One per process. Thread-safe."""

    def __init__(self) -> None:
        self._due: dict[UUID, float] = {}  # endpoint -> when its calls would have used up their share
        self._pending: dict[UUID, Pending] = {}
        self._waiting = 0
        self._lock = threading.Lock()
        self._beside = Beside("postern-fields", FLUSH, self._flush_if_due)

    def start(self) -> None:
        self._beside.start()

    def stop(self) -> None:
        self._beside.stop()

    def looks_at(self, endpoint_id: UUID) -> bool:
        """Whether this call of an endpoint is one to look at; asked once per call."""
        now = time.monotonic()
        due = self._due.get(endpoint_id, 0.0)
        if due > now + EVERY * (AT_ONCE - 1):
            return False
        self._due[endpoint_id] = (due if due > now else now) + EVERY
        return True

    def saw(self, endpoint_id: UUID, fields: Iterable[FieldSeen], at: float) -> None:
        """Count what one call held."""
        with self._lock:
            self._add(endpoint_id, {field: Sightings(1, at, at) for field in fields})

    def flush(self) -> None:
        """Write what was counted; keep it when that fails."""
        with self._lock:
            taken, self._pending, self._waiting = self._pending, {}, 0
        for endpoint_id, fields in taken.items():
            names = sorted(fields)
            for at in range(0, len(names), BATCH):
                self._write_or_keep(endpoint_id, {name: fields[name] for name in names[at : at + BATCH]})

    def _write_or_keep(self, endpoint_id: UUID, fields: Pending) -> None:
        try:
            _write(endpoint_id, fields)
        except DatabaseError as error:
            log.warning("unclassified fields could not be written: %s", type(error).__name__)
            with self._lock:
                self._add(endpoint_id, fields)

    def _add(self, endpoint_id: UUID, fields: Mapping[FieldSeen, Sightings]) -> None:
        pending = self._pending.setdefault(endpoint_id, {})
        for field, seen in fields.items():
            known = pending.get(field)
            if known is None and self._waiting >= MAX_PENDING:
                field, known = MORE, pending.get(MORE)
            if known is None:
                pending[field] = Sightings(seen.calls, seen.first, seen.last)
                self._waiting += 1
            else:
                known.add(seen)

    def _flush_if_due(self) -> None:
        if self._waiting:
            self.flush()


def _write(endpoint_id: UUID, fields: Pending) -> None:
    """Add to the rows of one endpoint; several processes do so, one after the other."""
    with transaction.atomic():
        endpoint = Endpoint.objects.select_for_update(of=("self",), no_key=True).filter(pk=endpoint_id)
        if endpoint.first() is None:
            return  # deleted meanwhile, and its rows with it
        kept = StructuredField.objects.filter(endpoint_id=endpoint_id)
        known = {FieldSeen(path, shape) for path, shape in kept.values_list("path", "shape")}
        new = [field for field in fields if field not in known and field != MORE]
        room = MAX_ROWS - len(known - {MORE})
        if len(new) > room:
            idle = kept.filter(state=FieldState.NEW, last_seen__lt=datetime.now(UTC) - FORGOTTEN)
            known -= {FieldSeen(path, shape) for path, shape in idle.values_list("path", "shape")}
            idle.delete()
            room = MAX_ROWS - len(known - {MORE})
        fields = _within(fields, new, max(room, 0))
        StructuredField.objects.bulk_create(
            _row(endpoint_id, field, seen) for field, seen in fields.items() if field not in known
        )
        for field, seen in fields.items():
            if field in known:
                kept.filter(path=field.path, shape=field.shape).update(
                    calls=F("calls") + seen.calls, last_seen=Greatest("last_seen", Value(_time(seen.last)))
                )


def _within(fields: Pending, new: list[FieldSeen], room: int) -> Pending:
    """What there is room for; the rest as one."""
    left_out = new[room:]
    if not left_out:
        return fields
    kept = {field: seen for field, seen in fields.items() if field not in set(left_out)}
    rest = kept.get(MORE)
    for field in left_out:
        if rest is None:
            rest = kept[MORE] = fields[field]
        else:
            rest.add(fields[field])
    return kept


def _row(endpoint_id: UUID, field: FieldSeen, seen: Sightings) -> StructuredField:
    return StructuredField(
        endpoint_id=endpoint_id,
        path=field.path,
        shape=field.shape,
        calls=seen.calls,
        first_seen=_time(seen.first),
        last_seen=_time(seen.last),
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
