"""Moving an approval: compare and set, with its event in the same transaction. Nothing else sets `status`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from approvals import hints
from approvals.models import OPEN, Approval, Status
from audit import ids
from audit.events import NOBODY, event
from audit.models import Store
from audit.records import Recordable, Who
from policies import persons


def epoch() -> int:
    """The store's own; 0 where nothing has been recorded yet."""
    return Store.objects.values_list("epoch", flat=True).filter(pk=1).first() or 0


def living(now: datetime) -> QuerySet[Approval]:
    """Approvals of this store that have not run out."""
    return Approval.objects.filter(epoch=epoch(), expires_at__gt=now)


def moved(
    approval: Approval,
    to: Status,
    *,
    by: Who = NOBODY,
    facts: Mapping[str, Any] | None = None,
    words: Recordable | None = None,
    **sets: Any,
) -> bool:
    """Move it if it still stands where it was read; False if somebody was faster."""
    with transaction.atomic():
        rows = Approval.objects.filter(pk=approval.pk, status=approval.status)
        if not rows.update(status=to, changed_at=ids.now(), **sets):
            return False
        hints.changed(approval.pk)
        tell(f"approval.{to}", approval, by=by, facts=facts, words=words)
    return True


def bar(approval_id: UUID, accounts: Collection[UUID]) -> bool:
    """Nobody of these decides about it. One who has voted already makes it void, and that is False."""
    with transaction.atomic():
        mine = Approval.objects.filter(pk=approval_id, status__in=OPEN)
        if not mine.update(changed_at=ids.now()):  # the update is the lock, on both databases
            return False
        row = mine.get()
        if row.votes.filter(person_id__in=persons.accounts_of(*accounts)).exists():
            moved(
                row, Status.SUPERSEDED, facts={"because": "who voted on it stands behind a call that joined"}
            )
            return False
        mine.update(barred=sorted({*row.barred, *map(str, accounts)}))
    return True


def bar_from_all(requester_id: UUID, person: UUID) -> None:
    """Somebody else answers for whoever asked: they decide about nothing that was asked before either."""
    asked = Approval.objects.filter(requester_id=requester_id, status__in=OPEN)
    for approval_id in list(asked.values_list("pk", flat=True)):
        bar(approval_id, [person])


def tell(
    name: str,
    approval: Approval,
    *,
    by: Who = NOBODY,
    facts: Mapping[str, Any] | None = None,
    words: Recordable | None = None,
) -> None:
    """An event about an approval, in the area that it lies in."""
    event(
        name,
        by=by,
        area=approval.area,
        about=f"approval {approval.pk}",
        call_id=approval.call_id,
        detail={"requester": approval.requester_name, "endpoint": approval.endpoint, **(facts or {})},
        note=words,
    )


def find(approval_id: UUID) -> Approval | None:
    return Approval.objects.filter(pk=approval_id, epoch=epoch()).first()
