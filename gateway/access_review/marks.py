"""That somebody has looked at who reaches an endpoint: an event, and a line in the endpoint's history."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from gateway.access_review.reading import active_rules, people_in, services_in
from gateway.models import Endpoint, User
from policies.history import LONGEST_REASON, attributed, history_of, record
from policies.journal import note
from policies.services import scrub

MARK: Final = "Access reviewed"
LONGEST: Final = 300


@dataclass(frozen=True, slots=True)
class Mark:
    """When access to an endpoint was last reviewed, by whom, and what they wrote."""

    at: datetime
    by: str
    words: str


@attributed
def review_mark(*, endpoint: Endpoint, by: User, words: str = "") -> None:
    """Note that `by` has reviewed who reaches this endpoint now. `words` are scrubbed, then kept."""
    said = scrub(words.strip()) if words.strip() else None  # whole: half of a value is found by no detector
    text = said.data.decode("utf-8", "replace")[:LONGEST] if said else ""
    with transaction.atomic():
        groups = set(
            active_rules(timezone.now()).filter(endpoint=endpoint).values_list("group_id", flat=True)
        )
        facts = {
            "endpoint": endpoint.slug,
            "groups": len(groups),
            "people": people_in(groups).count(),
            "services": services_in(groups).count(),
        }
        note(action="access.reviewed", by=by, target=endpoint, facts=facts, words=said)
        reason = f"{MARK}: {text}" if text else MARK
        record(Endpoint.objects.filter(pk=endpoint.pk), reason=reason[:LONGEST_REASON])


def marks_of(endpoints: Collection[UUID]) -> dict[UUID, Mark]:
    """The latest review of each endpoint; who was never reviewed is not in it. Two queries."""
    rows = history_of(Endpoint).filter(id__in=endpoints, history_change_reason__startswith=MARK)
    latest = {row.id: row for row in rows.order_by("history_id")}
    names = dict(
        User.objects.filter(pk__in={row.history_user_id for row in latest.values()}).values_list(
            "pk", "username"
        )
    )
    return {
        pk: Mark(
            row.history_date,
            names.get(row.history_user_id, "somebody"),
            row.history_change_reason.removeprefix(MARK).removeprefix(": "),
        )
        for pk, row in latest.items()
    }
