"""When a plan's next rotation is due, and how the last one's end moves that."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Q
from django.utils import timezone

from gateway.models import RotationPlan
from gateway.rotating import schedule
from gateway.rotating.standing import is_too_old, longest_age

RETRY: Final = timedelta(minutes=5)
"""After the first failure; doubled with each that follows, up to RETRY_AT_MOST."""

RETRY_AT_MOST: Final = timedelta(hours=6)


def next_due(plan: RotationPlan, moment: datetime) -> datetime | None:
    """When the rotation after one at `moment` is due: by the schedule, and before the secret is too old.

    None: only when somebody asks. Raises `ScheduleError`.
    """
    limit = longest_age(plan.credential)
    by_schedule = _by_schedule(plan, moment)
    by_age = moment + limit if limit is not None else None
    return min([due for due in (by_schedule, by_age) if due is not None], default=None)


def _by_schedule(plan: RotationPlan, moment: datetime) -> datetime | None:
    return schedule.due_after(
        moment,
        every=plan.every,
        cron=plan.cron,
        zone=schedule.zone_of(plan.timezone),
        windows=schedule.windows_of(plan.windows),
        later=plan.jitter * random.random(),  # noqa: S311  spreads load, keeps no secret
    )


def ends(plan: RotationPlan, good_for: timedelta | None) -> None:
    """The next rotation is due when two thirds of a secret's life are over, if not before."""
    if good_for is not None:
        due = timezone.now() + good_for * 2 / 3
        rows = RotationPlan.objects.filter(pk=plan.pk)
        rows.filter(Q(next_at=None) | Q(next_at__gt=due)).update(next_at=due)


def succeeded(plan: RotationPlan) -> None:
    RotationPlan.objects.filter(pk=plan.pk).update(failures=0)


def failed(plan: RotationPlan) -> None:
    """Try again soon, whatever the schedule says; the more often it failed, the later."""
    failures = plan.failures + 1
    pause = min(RETRY_AT_MOST, RETRY * 2 ** min(failures - 1, 20))
    rows = RotationPlan.objects.filter(pk=plan.pk)
    rows.update(failures=failures)
    if plan.next_at is not None:
        rows.update(next_at=timezone.now() + pause)


def hurry_old() -> int:
    """Make due whatever has grown too old since: an endpoint may see more by now. Returns how many."""
    now, hurried = timezone.now(), 0
    plans = RotationPlan.objects.filter(paused=False, failures=0).select_related("credential")
    for plan in plans.filter(Q(next_at=None) | Q(next_at__gt=now)).iterator():
        if is_too_old(plan.credential, now):
            rows = RotationPlan.objects.filter(pk=plan.pk, next_at=plan.next_at)
            hurried += rows.update(next_at=now)
    return hurried
