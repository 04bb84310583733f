"""Who gets a mail about an approval: whoever may decide about it, and whoever asked once it is decided."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from approvals import walls
from approvals.models import Approval, Status
from approvals.webhooks import APPROVED, DENIED, events_of
from gateway.identity.who_may import may_hold
from gateway.models import Delivery, MailsOff, User
from policies.history import attributed
from policies.journal import note

ASKED, DECIDED = "mail.asked", "mail.decided"
MOST: Final = 200
"""Mails about one approval."""


def mails_go_out() -> bool:
    return bool(settings.EMAIL_HOST)


@attributed
def mails_switch(*, user: User, on: bool, by: User) -> None:
    """Whether somebody wants mails about approvals. What waits for them when they do not is not sent."""
    with transaction.atomic():
        if on:
            MailsOff.objects.filter(user=user).delete()
        else:
            MailsOff.objects.get_or_create(user=user)
        note(action="person.mails_switched", by=by, target=user, facts={"on": on})


def mails_for(row: Approval, known: Collection[tuple[Any, ...]], since: datetime) -> Iterator[Delivery]:
    """The mails about an approval, those that are known already included."""
    if not mails_go_out():
        return
    asked = any(approval == row.pk and event == ASKED for _, _, approval, event in known)
    escalated = row.escalated_at is not None and row.escalated_at >= since
    if (row.status == Status.PENDING and row.created_at >= since and not asked) or escalated:
        for person in reviewers_of(row):
            yield _mail(person, row, ASKED, row.created_at, 0)
    decided = [event for event in events_of(row) if event.name in (APPROVED, DENIED) and event.at >= since]
    if decided and (requester := _requester(row)) is not None:
        yield _mail(requester, row, DECIDED, decided[0].at, 2)


def reviewers_of(row: Approval) -> list[User]:
    """Whoever may decide about it now and has an address."""
    rows = with_address().filter(may_hold(walls.DECIDES, [row.area])).distinct().order_by("pk")
    if groups := walls.deciding_groups(row):
        rows = rows.filter(groups__in=Group.objects.filter(name__in=groups))
    return [person for person in rows[:MOST] if not walls.why_not(person, row)]


def with_address() -> QuerySet[User]:
    return User.objects.filter(is_active=True, mails_off=None).exclude(email="")


def _requester(row: Approval) -> User | None:
    """The person, or whoever answers for the program."""
    return with_address().filter(pk=row.owner_id or row.requester_id).first()


def _mail(person: User, row: Approval, event: str, at: datetime, position: int) -> Delivery:
    return Delivery(
        person=person,
        approval_id=row.pk,
        event=event,
        event_at=at,
        position=position,
        next_at=timezone.now(),
    )
