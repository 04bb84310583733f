"""Begins the rotations that are due and works on those that were begun: one idempotent sweep, run by anybody.

Two sweeps at once, a late one, one that was killed: rows are taken under a lease, and what a dead sweep had
taken comes back when its lease is over. Providers are asked outside of transactions.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from django.db import transaction
from django.utils import timezone

from gateway.models import Credential, Rotation, RotationCause, RotationPlan
from gateway.models.rotation import under_way
from gateway.rotating import planning, reminding, schedule
from gateway.rotating.leasing import take
from gateway.rotating.retiring import retire_due
from gateway.rotating.steps import work
from policies.history import acting
from policies.journal import note

log = logging.getLogger(__name__)

BUDGET: Final = 20.0
"""Seconds after which a sweep begins nothing more; less than the lease of what it took."""

AT_ONCE: Final = 20

_sweeping = threading.Lock()


def sweep() -> int:
    """Returns the number of steps done. One at a time in a process."""
    if not _sweeping.acquire(blocking=False):
        return 0
    try:
        return _sweep(time.monotonic() + BUDGET)
    finally:
        _sweeping.release()


def _sweep(ends: float) -> int:
    begin_due()
    reminding.remind_due()
    done = 0
    while time.monotonic() < ends:
        steps = work_due(ends) + retire_due(AT_ONCE)
        if not steps:
            break
        done += steps
    return done


def begin_due() -> int:
    """Open a rotation for each plan whose time has come. Returns how many."""
    now = timezone.now()
    due = RotationPlan.objects.filter(next_at__lte=now, paused=False).order_by("next_at")
    return sum(begin(plan, RotationCause.SCHEDULE) is not None for plan in due[:AT_ONCE])


def begin(plan: RotationPlan, cause: RotationCause) -> Rotation | None:
    """Open one, and say when the next is due. None: not now, somebody else did, or one is under way."""
    try:
        windows, zone = schedule.windows_of(plan.windows), schedule.zone_of(plan.timezone)
        now = timezone.now()
        opening = schedule.opens(windows, zone, now)
        following = planning.next_due(plan, now)
    except schedule.ScheduleError as error:
        log.error("the schedule of %s cannot be read: %s", plan.credential_id, error)
        return None
    rows = RotationPlan.objects.filter(pk=plan.pk, next_at=plan.next_at, paused=False)
    if opening != now:
        rows.update(next_at=opening)
        return None
    with transaction.atomic(), acting(None, "Rotation"):
        credential = Credential.objects.select_for_update().get(pk=plan.credential_id)
        if not rows.update(next_at=following):
            return None
        return open_rotation(credential, cause)


def open_rotation(credential: Credential, cause: RotationCause, **values: object) -> Rotation | None:
    """None: one is under way. The caller holds the credential's row."""
    if under_way(credential) is not None:
        return None
    now = timezone.now()
    moments = {"started_at": now, "step_since": now, "next_at": now}
    rotation = Rotation.objects.create(credential=credential, cause=cause, **moments, **values)
    facts = {"name": credential.name, "origin": credential.origin, "cause": str(cause)}
    note(action="rotation.begun", by=rotation.asked_by, target=credential, facts=facts)
    return rotation


def work_due(ends: float) -> int:
    """One step of each rotation that is due. Returns how many were taken."""
    due = Rotation.objects.filter(next_at__lte=timezone.now()).order_by("next_at", "pk")
    taken = 0
    for rotation in due.select_related("credential", "version", "asked_by")[:AT_ONCE]:
        if time.monotonic() >= ends:
            break
        if take(rotation):
            taken += 1
            _safely(rotation)
    return taken


def _safely(rotation: Rotation) -> None:
    """One that fails in a way nobody thought of keeps no other waiting. It is tried again after its lease."""
    try:
        work(rotation)
    except Exception as error:
        log.error("a rotation of %s stopped: %s", rotation.credential_id, type(error).__name__)
