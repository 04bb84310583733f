"""What is due, found by columns and done by compare-and-set: doubled, late or dead schedules do no harm."""

from __future__ import annotations

from typing import Final

from django.db import transaction

from approvals import hints
from approvals.models import OPEN, Approval, Status
from approvals.moves import epoch, moved, tell
from audit import ids

BATCH: Final = 500
"""Rows of one sweep; the next one takes the rest."""


def approvals_expire() -> int:
    """End what nobody decided or used in time, and what a restored backup brought back (P20)."""
    now, current = ids.now(), epoch()
    due = Approval.objects.filter(status__in=OPEN, epoch=current, expires_at__lte=now)
    ended = sum(moved(row, Status.EXPIRED) for row in due.order_by("expires_at")[:BATCH])
    if not current:
        return ended
    strange = Approval.objects.filter(status__in=OPEN).exclude(epoch=current)[:BATCH]
    facts = {"because": "restored from a backup"}
    return ended + sum(moved(row, Status.SUPERSEDED, facts=facts) for row in strange)


def approvals_escalate() -> int:
    """Ask others as well where nobody has decided for long."""
    now = ids.now()
    due = Approval.objects.filter(
        status=Status.PENDING, escalated_at=None, escalate_at__lte=now, expires_at__gt=now, epoch=epoch()
    )
    return sum(_escalated(row) for row in due.order_by("escalate_at")[:BATCH])


def _escalated(row: Approval) -> bool:
    now = ids.now()
    with transaction.atomic():
        mine = Approval.objects.filter(pk=row.pk, status=Status.PENDING, escalated_at=None)
        if not mine.update(escalated_at=now, changed_at=now):
            return False
        tell("approval.escalated", row, facts={"to": list(row.escalate_to)})
        hints.changed(row.pk)
    return True
