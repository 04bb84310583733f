"""Legal holds: which calls they keep. Placing and lifting are events, and wait for a removal under way.

Whoever removes evidence takes `lock` first and asks for the holds inside; whoever places one takes it too.
So a hold either keeps a call, or was placed after it had gone.

HoldRefused        in words for whoever asked
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.db.models import Q

from audit import ids
from audit.events import event
from audit.models import Call, LegalHold, Store
from audit.records import Recordable, Who
from audit.retention.callers import label_of
from audit.words import plain


class HoldRefused(ValueError):
    """The hold cannot be placed as it is, in words."""


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
        "person_id": hold.caller_id,
        "subject": "" if hold.caller_id else hold.subject,  # by name: placed before callers had ids here
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
    """`hold` is not stored yet. Its reason is what `why` says, which is scrubbed text; of the caller's name
    is kept what may be. Raises HoldRefused.
    """
    if hold.subject and hold.caller_id is None:
        raise HoldRefused("Say by its id which caller it holds.")
    if not endpoint_stays(hold.endpoint):
        raise HoldRefused(NO_ENDPOINT)
    if hold.caller_id is not None:
        hold.subject = label_of(hold.subject or str(hold.caller_id))
    with transaction.atomic():
        lock()
        hold.reason = why.data.decode("utf-8", "replace")[:300]
        hold.placed_by, hold.placed_at = by.name, ids.now()
        hold.save(force_insert=True)
        event("hold.placed", by=by, area=hold.area, about=_about(hold), detail=facts(hold), note=why)
    return hold


NO_ENDPOINT = "No endpoint has this name, and it holds what would be masked. Write it as on the call."


def endpoint_stays(name: str) -> bool:
    """Whether an endpoint's name may be kept as it was typed: nothing in it would be masked, or it is on
    record already."""
    return plain(name) or Call.objects.filter(endpoint=name).exists()


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
        "caller": f"{hold.subject} ({hold.caller_id})" if hold.caller_id else hold.subject,
        "session": hold.session_id,
        "call": hold.call_id,
        "since": hold.since and f"{hold.since:%Y-%m-%d %H:%M} UTC",
        "until": hold.until and f"{hold.until:%Y-%m-%d %H:%M} UTC",
    }
    return {name: str(value) for name, value in said.items() if value}


def _about(hold: LegalHold) -> str:
    return f"hold {hold.pk}"
