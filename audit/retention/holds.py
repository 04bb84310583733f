"""Legal holds: which calls they keep. Placing and lifting are events, and wait for a removal under way.

Whoever removes evidence takes `lock` first and asks for the holds inside; whoever places one takes it too.
So a hold either keeps a call, or was placed after it had gone.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.db.models import Q

from audit import ids
from audit.events import event
from audit.models import LegalHold, Store
from audit.records import Recordable, Who


def lock() -> None:
    """One at a time removes evidence or changes what is held, until the transaction ends.

    On SQLite the transaction itself does that. Recorders only read this row.
    """
    list(Store.objects.select_for_update().filter(pk=1))


def holds_in_force() -> list[LegalHold]:
    return list(LegalHold.objects.filter(lifted_at=None).order_by("placed_at", "id"))


def held_by(hold: LegalHold) -> Q:
    """The calls that this one keeps."""
    said = {
        "area": hold.area,
        "endpoint": hold.endpoint,
        "subject": hold.subject,
        "session_id": hold.session_id,
        "id": hold.call_id,
        "started_at__gte": hold.since,
        "started_at__lte": hold.until,
    }
    return Q(**{name: value for name, value in said.items() if value not in ("", None)})


def held(holds: Iterable[LegalHold]) -> Q:
    """The calls that any of these keeps."""
    found = Q(pk__in=[])
    for hold in holds:
        found |= held_by(hold)
    return found


def hold_place(*, hold: LegalHold, by: Who, why: Recordable) -> LegalHold:
    """`hold` is checked and not stored yet. Its reason is what `why` says, which is scrubbed text."""
    with transaction.atomic():
        lock()
        hold.reason = why.data.decode("utf-8", "replace")[:300]
        hold.placed_by, hold.placed_at = by.name, ids.now()
        hold.save(force_insert=True)
        event("hold.placed", by=by, area=hold.area, about=_about(hold), detail=facts(hold), note=why)
    return hold


def hold_lift(*, hold: LegalHold, by: Who, proposed_by: str) -> bool:
    """False: it had been lifted."""
    names = f"{proposed_by} and {by.name}"[:255]
    with transaction.atomic():
        lock()
        still = LegalHold.objects.filter(pk=hold.pk, lifted_at=None)
        if not still.update(lifted_at=ids.now(), lifted_by=names):
            return False
        event("hold.lifted", by=by, area=hold.area, about=_about(hold), detail={"proposed_by": proposed_by})
    return True


def facts(hold: LegalHold) -> dict[str, str]:
    """What it holds, by name; only what it says."""
    said = {
        "area": hold.area,
        "endpoint": hold.endpoint,
        "caller": hold.subject,
        "session": hold.session_id,
        "call": hold.call_id,
        "since": hold.since and f"{hold.since:%Y-%m-%d %H:%M} UTC",
        "until": hold.until and f"{hold.until:%Y-%m-%d %H:%M} UTC",
    }
    return {name: str(value) for name, value in said.items() if value}


def _about(hold: LegalHold) -> str:
    return f"hold {hold.pk}"
