"""When a plan's next rotation is due, and how the last one's end moves that."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from gateway.models import RotationPlan
from gateway.rotating import schedule

RETRY: Final = timedelta(minutes=5)
"""After the first failure; doubled with each that follows, up to RETRY_AT_MOST."""

RETRY_AT_MOST: Final = timedelta(hours=6)


def next_due(plan: RotationPlan, moment: datetime) -> datetime | None:
    """When the rotation after one at `moment` is due; None without a schedule. Raises `ScheduleError`."""
    return schedule.due_after(
        moment,
        every=plan.every,
        cron=plan.cron,
        zone=schedule.zone_of(plan.timezone),
        windows=schedule.windows_of(plan.windows),
        later=plan.jitter * random.random(),  # noqa: S311  spreads load, keeps no secret
    )


def succeeded(plan: RotationPlan) -> None:
    RotationPlan.objects.filter(pk=plan.pk).update(failures=0)


def failed(plan: RotationPlan) -> None:
    """Try again soon, whatever the schedule says; the more often it failed, the later."""
    failures = plan.failures + 1
    pause = min(RETRY_AT_MOST, RETRY * 2 ** min(failures - 1, 20))
    rows = RotationPlan.objects.filter(pk=plan.pk)
    rows.update(failures=failures)
    if plan.every is not None or plan.cron:
        rows.update(next_at=timezone.now() + pause)
