"""When a rotation is due: by an interval or by cron, in a window, a little later than others. Pure.

Windows are `{"days": ["sat", "sun"], "from": "22:00", "until": "04:00"}`: one that ends before it begins
runs into the next day, and belongs to the day on which it began. Times are those of the plan's time zone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import product
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from celery.schedules import ParseException, crontab_parser

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SEARCHED: Final = 366 * 5
"""Days ahead in which a cron expression has to come true: leap days do."""

_FIELDS: Final = ((60, 0), (24, 0), (31, 1), (12, 1), (7, 0))
"""How many values a part of cron has, and which is the first."""

_KEYS: Final = {"days", "from", "until"}


class ScheduleError(ValueError):
    """What is wrong with it, for the person who wrote it."""


@dataclass(frozen=True, slots=True)
class Window:
    days: frozenset[int]
    begins: time
    ends: time

    def spans(self, day: date, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
        """From when until when it is open, where it opens on this day."""
        if day.weekday() not in self.days:
            return None
        last = day if self.ends > self.begins else day + timedelta(days=1)
        return datetime.combine(day, self.begins, zone), datetime.combine(last, self.ends, zone)


def zone_of(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ScheduleError(f"There is no time zone {name}.") from None


def windows_of(said: Any) -> tuple[Window, ...]:
    """What a plan's `windows` mean. Raises `ScheduleError`."""
    if not isinstance(said, list):
        raise ScheduleError("Windows are a list.")
    return tuple([_window(each) for each in said])


def _window(said: Any) -> Window:
    if not isinstance(said, dict) or set(said) - _KEYS or not {"from", "until"} <= set(said):
        raise ScheduleError("A window has `from`, `until` and, if not every day, `days`.")
    days = said.get("days", list(DAYS))
    if not isinstance(days, list) or not days or any(day not in DAYS for day in days):
        raise ScheduleError(f"Days are some of {', '.join(DAYS)}.")
    begins, ends = _clock(said["from"]), _clock(said["until"])
    if begins == ends:
        raise ScheduleError("A window ends at another time than it begins.")
    return Window(frozenset(map(DAYS.index, days)), begins, ends)


def _clock(said: Any) -> time:
    try:
        return datetime.strptime(said, "%H:%M").time()
    except (TypeError, ValueError):
        raise ScheduleError("Write times such as 22:00.") from None


def cron_check(said: str) -> None:
    """Raises `ScheduleError` unless this is a cron expression that ever comes true."""
    if cron_next(said, datetime(2024, 1, 1, tzinfo=ZoneInfo("UTC"))) is None:
        raise ScheduleError("This never comes true.")


def cron_next(said: str, after: datetime) -> datetime | None:
    """The first minute after `after` that fits, in `after`'s zone. None: there is none within five years."""
    minutes, hours, monthdays, months, weekdays = _cron(said)
    for offset in range(SEARCHED):
        day = after.date() + timedelta(days=offset)
        if day.month not in months or day.day not in monthdays or day.isoweekday() % 7 not in weekdays:
            continue
        for hour, minute in product(sorted(hours), sorted(minutes)):
            moment = datetime.combine(day, time(hour, minute), after.tzinfo)
            if moment.timestamp() > after.timestamp():
                return moment
    return None


def _cron(said: str) -> list[set[int]]:
    parts = said.split()
    if len(parts) != len(_FIELDS):
        raise ScheduleError("Cron has five parts: minute hour day month weekday.")
    try:
        return [crontab_parser(*field).parse(part) for field, part in zip(_FIELDS, parts, strict=True)]
    except (ParseException, ValueError):
        raise ScheduleError("Write cron such as '0 3 1 * *': at 3:00 on the first of each month.") from None


def opens(windows: Sequence[Window], zone: ZoneInfo, moment: datetime) -> datetime | None:
    """The first time from `moment` on at which a window is open; `moment` itself without windows."""
    if not windows:
        return moment
    here = moment.astimezone(zone)
    days = [here.date() + timedelta(days=offset) for offset in range(-1, 9)]
    return min(_openings(windows, zone, days, here), default=None, key=lambda each: each.timestamp())


def _openings(
    windows: Iterable[Window], zone: ZoneInfo, days: Sequence[date], moment: datetime
) -> Iterable[datetime]:
    for window in windows:
        for day in days:
            span = window.spans(day, zone)
            if span is not None and span[1].timestamp() > moment.timestamp():
                yield max(span[0], moment, key=lambda each: each.timestamp())


def due_after(
    moment: datetime,
    *,
    every: timedelta | None,
    cron: str,
    zone: ZoneInfo,
    windows: Sequence[Window],
    later: timedelta = timedelta(0),
) -> datetime | None:
    """When the rotation after one at `moment` is due; None without a schedule. `later`: this one's jitter."""
    if every is not None:
        due: datetime | None = moment + every
    elif cron:
        due = cron_next(cron, moment.astimezone(zone))
    else:
        return None
    return opens(windows, zone, due + later) if due else None
