"""How policies' holds are decided: one that is always approved tires whoever reviews, and guards nothing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any, Final

from approvals import walls
from approvals.models import Status

WINDOW: Final = timedelta(days=30)
READ_AT_MOST: Final = 20_000
"""Decisions that the page adds up, the newest ones."""

ENOUGH: Final = 20
TOO_OFTEN: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One policy's decisions in 30 days, over all its versions."""

    policy: str
    area: str
    decided: int
    approved: int
    denied: int
    took: timedelta
    mask_instead: bool

    @property
    def percent(self) -> int:
        """Rounded down: 100 means all of them."""
        return 100 * self.approved // self.decided

    @property
    def took_text(self) -> str:
        seconds = int(self.took.total_seconds())
        if seconds < 60:
            return f"{seconds} s"
        if seconds < 5400:
            return f"{round(seconds / 60)} min"
        return f"{round(seconds / 3600)} h"


@dataclass(frozen=True, slots=True)
class Rates:
    rows: list[Rate]
    whole: bool  # False: there are more decisions than were added up


@dataclass(slots=True)
class _Sum:
    approved: int = 0
    denied: int = 0
    took: list[float] = field(default_factory=list)


def rates(person: Any, now: datetime) -> Rates:
    """Where this person may look, most decisions first."""
    decided = walls.seen_by(person).filter(decided_at__gte=now - WINDOW).order_by("-decided_at")
    columns = ("area", "policy", "status", "created_at", "decided_at")
    sums: defaultdict[tuple[str, str], _Sum] = defaultdict(_Sum)
    read = 0
    for area, policy, status, created_at, decided_at in decided.values_list(*columns)[:READ_AT_MOST]:
        read += 1
        total = sums[area, policy.rpartition("@")[0] or policy]
        if status == Status.DENIED:
            total.denied += 1
        else:
            total.approved += 1  # also where the grant was used, taken back or ran out since
        total.took.append((decided_at - created_at).total_seconds())
    rows = [_rate(area, policy, total) for (area, policy), total in sums.items()]
    return Rates(sorted(rows, key=lambda row: (-row.decided, row.area, row.policy)), read < READ_AT_MOST)


def _rate(area: str, policy: str, total: _Sum) -> Rate:
    decided = total.approved + total.denied
    return Rate(
        policy=policy,
        area=area,
        decided=decided,
        approved=total.approved,
        denied=total.denied,
        took=timedelta(seconds=median(total.took)),
        mask_instead=decided >= ENOUGH and total.approved / decided >= TOO_OFTEN,
    )
