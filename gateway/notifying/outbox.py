"""Finds what has happened to approvals and writes down whom to tell, each once.

Openings are written by the recorder, moves by several hands; none of them waits for this. What there is to
tell is read off the approvals that changed lately, as often as one likes: the database keeps each message
once. A sweep that comes twice, late or after a long absence finds the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from approvals.models import Approval, Status
from approvals.moves import epoch
from approvals.webhooks import EVENTS, SUPERSEDED, Event, events_of
from gateway.models import Delivery, Told, Webhook
from gateway.notifying import recipients
from gateway.notifying.keeping import TOLD

LOOK_BACK: Final = timedelta(minutes=5)
"""A transaction commits later than it says, and clocks differ: so much is looked at again each time."""

BATCH: Final = 200
Key = tuple[UUID | None, UUID | None, UUID, str]  # webhook, person, approval, event


def fill() -> int:
    """Write down what is to be told and is not yet; returns how many messages that are."""
    now = timezone.now()
    told, _ = Told.objects.get_or_create(pk=1, defaults={"upto": now})
    hooks = list(Webhook.objects.filter(enabled=True).select_related("area"))
    made = 0
    if hooks or recipients.mails_go_out():
        for rows in _changed(told.upto - LOOK_BACK):
            made += _fill(rows, hooks, told.upto - LOOK_BACK)
    Told.objects.filter(pk=1, upto__lt=now).update(upto=now)
    return made


def _changed(since: datetime) -> Iterator[list[Approval]]:
    """Of this store, and what of a restored backup has ended since."""
    lately = Approval.objects.filter(changed_at__gte=since, created_at__gte=timezone.now() - TOLD)
    rows = lately.filter(Q(epoch=epoch()) | Q(status=Status.SUPERSEDED)).order_by("changed_at", "pk")
    keys = list(rows.values_list("pk", flat=True))
    for start in range(0, len(keys), BATCH):
        yield list(rows.filter(pk__in=keys[start : start + BATCH]))


def _fill(rows: list[Approval], hooks: list[Webhook], since: datetime) -> int:
    stored = Delivery.objects.filter(approval_id__in=[row.pk for row in rows])
    known: set[Key] = {
        (hook, person, approval, event)
        for hook, person, approval, event in stored.values_list(
            "webhook_id", "person_id", "approval_id", "event"
        )
        if approval is not None
    }
    current = epoch()
    possible = [each for row in rows for each in _messages(row, hooks, known, since, current)]
    wanted = [each for each in possible if _key(each) not in known]
    Delivery.objects.bulk_create(wanted, ignore_conflicts=True)
    return len(wanted)


def _messages(
    row: Approval, hooks: list[Webhook], known: set[Key], since: datetime, current: int
) -> Iterator[Delivery]:
    """All about one approval, those that are known already included. What had happened to one that a
    restored backup brought back was told then: only its end is new."""
    if row.epoch == current:
        yield from _hooked(row, events_of(row), hooks)
        yield from recipients.mails_for(row, known, since)
    else:
        yield from _hooked(row, [event for event in events_of(row) if event.name == SUPERSEDED], hooks)


def _hooked(row: Approval, events: Iterable[Event], hooks: list[Webhook]) -> Iterator[Delivery]:
    for event in events:
        for hook in hooks:
            if _tells(hook, row, event):
                yield Delivery(
                    webhook=hook,
                    approval_id=row.pk,
                    event=event.name,
                    event_at=event.at,
                    position=EVENTS[event.name],
                    next_at=timezone.now(),
                )


def _tells(hook: Webhook, row: Approval, event: Event) -> bool:
    if event.at < hook.tells_from or (hook.events and event.name not in hook.events):
        return False
    return hook.area is None or hook.area.slug == row.area


def _key(each: Delivery) -> Key:
    assert each.approval_id is not None  # noqa: S101  only tests have none, and they are not made here
    return each.webhook_id, each.person_id, each.approval_id, each.event
