"""When callers last called an endpoint, as the record has it. Read through sessions, which are indexed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db.models import Max

from audit.models import Call, Session

Pair = tuple[UUID, UUID]
"""A caller and an endpoint."""


def last_calls(*, callers: Collection[UUID], endpoints: Collection[UUID]) -> dict[Pair, datetime]:
    """The latest call, refused ones too, of each caller in their latest session at each endpoint.

    Three queries, however many there are. Who never called is not in it.
    """
    if not callers or not endpoints:
        return {}
    rows = Session.objects.filter(person_id__in=callers, endpoint_id__in=endpoints)
    began = {
        (row["person_id"], row["endpoint_id"]): row["latest"]
        for row in rows.values("person_id", "endpoint_id").annotate(latest=Max("started_at")).order_by()
    }
    if not began:
        return {}
    people, since = {person for person, _ in began}, min(began.values())
    latest = Session.objects.filter(person_id__in=people, started_at__in=set(began.values()))
    pairs: dict[UUID, Pair] = {}
    for key, person, endpoint, at in latest.values_list("id", "person_id", "endpoint_id", "started_at"):
        if person is not None and endpoint is not None and began.get((person, endpoint)) == at:
            pairs[key] = (person, endpoint)
    calls = Call.objects.filter(session_id__in=list(pairs), started_at__gte=since).order_by()
    found = dict(began)
    for row in calls.values("session_id").annotate(latest=Max("started_at")):
        pair = pairs[row["session_id"]]
        found[pair] = max(found[pair], row["latest"])
    return found
