"""Destroying keys that nothing needs any more: that erases what they sealed from every backup as well.

Only what this store knows to have removed lets a key go. A store that is empty, or an older one that was
brought back, knows of no removal, and destroys nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta

from django.db import transaction

from audit import ids
from audit.events import event
from audit.keynames import day_name
from audit.keys import PAYLOAD, KeyDirectory
from audit.models import Call, EvidenceDay, Removal
from audit.retention import days


def keys_go(day: date, keys: KeyDirectory) -> int:
    """Destroy the keys of a day of which nothing is kept. Returns how many."""
    found = keys.generations(PAYLOAD, day)
    names = [day_name(PAYLOAD, day, each) for each in found]
    gone = destroy(names, keys, day=day, why="emptied") if names and _emptied(day) else 0
    return gone + month_key_goes(day, keys)


def month_key_goes(day: date, keys: KeyDirectory) -> int:
    """The key of a whole month, from before days had their own: when no call of the month needs it."""
    first = day.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    name = f"{PAYLOAD}-{first:%Y-%m}"
    if name not in keys.periods(PAYLOAD) or not days.over(following - timedelta(days=1)):
        return 0
    if days.key_rows(first, following).filter(wrapped_by=name).exists():
        return 0
    if not Removal.objects.filter(day__gte=first, day__lt=following).exists():
        return 0
    return destroy([name], keys, day=day, why="emptied")


def left_behind(keys: KeyDirectory) -> Iterator[date]:
    """First days of those days, or months, whose keys are there though even the rows of their calls are gone.
    A run goes by the rows: one that was killed between the last of them and the key does not come back."""
    for period in keys.periods(PAYLOAD).values():
        removed = Removal.objects.filter(kind="rows", day__gte=period.first, day__lt=period.following)
        if removed.exists() and not days.calls_during(period.first, period.following).exists():
            yield period.first


def destroy(names: Iterable[str], keys: KeyDirectory, *, day: date, why: str) -> int:
    """The files first: a worker that dies in between finds them gone and writes the event."""
    gone = list(names)
    for name in gone:
        keys.destroy(name)
    with transaction.atomic():
        event("evidence.key_destroyed", detail={"day": day.isoformat(), "keys": gone, "why": why})
        if why == "emptied":
            EvidenceDay.objects.update_or_create(day=day, defaults={"emptied_at": ids.now()})
    return len(gone)


def _emptied(day: date) -> bool:
    """Whether a day is over and all of its calls were removed."""
    if not days.over(day) or not Removal.objects.filter(day=day).exclude(kind="rows").exists():
        return False
    if days.calls_on(day).filter(removal_id=None).exists():
        return False
    return not days.key_rows(day, day + timedelta(days=1)).exists()


def nothing_left(first: date, following: date) -> bool:
    """Whether every call of some days was removed, so that what lies of them elsewhere may go."""
    rows = Call.objects.filter(days.during(first, following), removal_id=None)
    return not rows.exists() and not days.key_rows(first, following).exists()
