"""What the record's keys are called, and for how long one of them is used. Pure.

requests                 lasting: digests that must be comparable for years
payload-2026-11-26       of a day (UTC)
payload-2026-11-26-g2    of the same day, after something of it was erased
payload-2026-11          of a month, as they were made before days had keys of their own
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, final

NAME: Final = re.compile(
    r"(?P<purpose>[a-z][a-z0-9_]{0,30})"
    r"(-(?P<year>\d{4})-(?P<month>\d{2})(-(?P<day>\d{2})(-g(?P<generation>[1-9]\d{0,3}))?)?)?"
)
FIRST: Final = 1
"""The generation of a day's first key; its name does not say it. 0 stands for none."""


@final
@dataclass(frozen=True, slots=True)
class Period:
    """What a key is for: from `first` on, up to but without `following`."""

    purpose: str
    first: date
    following: date
    generation: int  # 0: of a month

    @property
    def of_month(self) -> bool:
        return self.generation == 0


def day_name(purpose: str, day: date, generation: int = FIRST) -> str:
    plain = f"{purpose}-{day.isoformat()}"
    return plain if generation == FIRST else f"{plain}-g{generation}"


def period(name: str) -> Period | None:
    """What a name says; None for a lasting key, and for what is no day's or month's name."""
    found = NAME.fullmatch(name)
    if found is None or found["year"] is None:
        return None
    try:
        first = date(int(found["year"]), int(found["month"]), int(found["day"] or 1))
        if found["day"] is None:
            return Period(found["purpose"], first, (first + timedelta(days=31)).replace(day=1), 0)
        return Period(found["purpose"], first, first + timedelta(days=1), int(found["generation"] or FIRST))
    except (ValueError, OverflowError):
        return None


def day_of(when: datetime) -> date:
    """The day (UTC) whose key a moment belongs to."""
    return when.astimezone(UTC).date()


def start_of(day: date) -> datetime:
    """The first moment of a day."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
