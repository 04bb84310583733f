"""Rotations that wait for a person: reminded of each day, escalated, and at last no longer sent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from gateway.models import Credential, Rotation, RotationPlan, RotationStep
from gateway.models.webhook import DISABLED, ESCALATED, REMINDED
from gateway.notifying.alerts import age_alert, credential_alert
from gateway.rotating.standing import standings
from policies.history import acting
from policies.journal import note

EACH: Final = timedelta(days=1)
BY_HAND: Final = "by_hand"
"""The code of what waits for a person."""


def remind_due() -> int:
    """Returns how many were reminded of."""
    now = timezone.now()
    waiting = Rotation.objects.filter(step=RotationStep.CREATE, error=BY_HAND)
    late = waiting.filter(Q(reminded_at=None) | Q(reminded_at__lte=now - EACH))
    found = list(late.select_related("credential__plan").order_by("started_at")[:100])
    with acting(None, "Rotation"):
        for rotation in found:
            _remind(rotation, now)
        for rotation in waiting.filter(Q(escalated_at=None) | Q(credential__disabled_at=None)).select_related(
            "credential__plan"
        )[:100]:
            _press(rotation, rotation.credential.plan, now)
    return len(found)


def tell_too_old() -> int:
    """Of secrets that are older than they may be and that nothing replaces. Returns how many were told of."""
    rows = Credential.objects.filter(Q(plan=None) | Q(plan__paused=True), disabled_at=None)
    plans = [(row, getattr(row, "plan", None)) for row in rows.select_related("plan")]
    now, found = timezone.now(), standings(plans)
    late = [row for row, _ in plans if (at := found[row.pk].too_old_at) is not None and at <= now]
    return sum(_tell_age(row) for row in late if found[row.pk].running is None)


def _tell_age(credential: Credential) -> bool:
    """One at a time, so that two sweeps tell once."""
    with transaction.atomic():
        row = Credential.objects.select_for_update().get(pk=credential.pk)
        return bool(age_alert(credential=row))


def _remind(rotation: Rotation, now: datetime) -> None:
    rows = Rotation.objects.filter(pk=rotation.pk, reminded_at=rotation.reminded_at)
    with transaction.atomic():
        if rows.update(reminded_at=now):
            _tell(REMINDED, rotation, now)


def _press(rotation: Rotation, plan: RotationPlan, now: datetime) -> None:
    overdue = now - rotation.started_at
    if plan.escalate_after is not None and overdue >= plan.escalate_after:
        with transaction.atomic():
            if Rotation.objects.filter(pk=rotation.pk, escalated_at=None).update(escalated_at=now):
                _tell(ESCALATED, rotation, now)
    if plan.disable_after is not None and overdue >= plan.disable_after:
        _disable(rotation, now)


def _disable(rotation: Rotation, now: datetime) -> None:
    """The endpoints that use it refuse calls, until somebody enters a new secret."""
    with transaction.atomic():
        credential = Credential.objects.select_for_update().get(pk=rotation.credential_id)
        waits = Rotation.objects.filter(pk=rotation.pk, step=RotationStep.CREATE, error=BY_HAND).exists()
        if credential.disabled_at is None and waits:
            credential.disabled_at = now
            credential.save(update_fields=("disabled_at",))
            _tell(DISABLED, rotation, now)


def _tell(action: str, rotation: Rotation, now: datetime) -> None:
    credential = rotation.credential
    facts = {"name": credential.name, "days": (now - rotation.started_at).days}
    note(action=action, by=None, target=credential, facts=facts)
    credential_alert(credential=credential, event=action)
