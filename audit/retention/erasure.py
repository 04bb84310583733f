"""Erasing calls on request, such as a data subject's: two people want it, a job does it, keys make it final.

The job removes what can be read, at once. The days of these calls are then given new keys
(`audit.retention.rekeying`), so that a backup from before opens none of it either. Calls that are held stay;
calls that are still open are erased once they are closed.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, final
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.utils import Error as DatabaseError

from audit import ids, indexing, jobs
from audit.exporting.taking_back import exports_take_back
from audit.keynames import day_of, period
from audit.models import Call, EvidenceDay, Job
from audit.records import Who
from audit.retention import days
from audit.retention.holds import held, holds_in_force
from audit.retention.removing import AT_ONCE, Cause, remove, secure, tidy

log = logging.getLogger(__name__)

KIND: Final = "erasure"
MOST: Final = 20_000
"""Calls of one request; whoever has more to erase says so by time."""

TURN: Final = 20.0
AGAIN: Final = timedelta(minutes=2)
"""Until an erasure looks again at calls that were open."""


class ErasureRefused(ValueError):
    """The request cannot be carried out as it is, in words."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which calls: these, or all of one caller up to a moment.

    `callers` are ids, several where an account was made anew under the same name; `named` is what was typed
    for them, masked, for people to read.
    """

    calls: tuple[UUID, ...] = ()
    callers: tuple[UUID, ...] = ()
    named: str = ""
    since: datetime | None = None
    until: datetime | None = None
    areas: tuple[str, ...] = ()  # only calls in these; empty: wherever they lie

    def __post_init__(self) -> None:
        if bool(self.calls) == bool(self.callers):
            raise ErasureRefused("Name calls, or one caller.")
        if self.callers and self.until is None:
            raise ErasureRefused("Say until when the caller's calls are erased.")
        if len(self.calls) > MOST:
            raise ErasureRefused(f"Name at most {MOST} calls at once.")
        if not all(map(ids.has_time, self.calls)):
            raise ErasureRefused("One of these is no id of a call.")

    def as_json(self) -> dict[str, Any]:
        return {
            "calls": [str(call) for call in self.calls],
            "callers": [str(caller) for caller in self.callers],
            "named": self.named,
            "areas": list(self.areas),
            "since": self.since and self.since.isoformat(),
            "until": self.until and self.until.isoformat(),
        }

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Selection:
        """From `as_json`; raises ErasureRefused for anything else."""
        try:
            return cls(
                calls=tuple(UUID(call) for call in said.get("calls") or ()),
                callers=tuple(UUID(caller) for caller in said.get("callers") or ()),
                named=str(said.get("named") or ""),
                areas=tuple(str(area) for area in said.get("areas") or ()),
                since=datetime.fromisoformat(said["since"]) if said.get("since") else None,
                until=datetime.fromisoformat(said["until"]) if said.get("until") else None,
            )
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, ErasureRefused):
                raise
            raise ErasureRefused("This names no calls.") from None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What an erasure would do. Numbers of calls, and the areas they lie in."""

    calls: int
    held: int
    still_open: int
    gone: int
    areas: tuple[str, ...]
    days: int


def chosen(selection: Selection) -> QuerySet[Call]:
    """By id and time: the ids' own times prune."""
    rows = Call.objects.filter(area__in=selection.areas) if selection.areas else Call.objects.all()
    if selection.calls:
        when = [ids.time_of(call) for call in selection.calls]
        return rows.filter(id__in=selection.calls, started_at__gte=min(when), started_at__lte=max(when))
    rows = rows.filter(person_id__in=selection.callers, started_at__lte=selection.until)
    return rows.filter(started_at__gte=selection.since) if selection.since else rows


def outlook(selection: Selection) -> Outlook:
    """The dry run. Raises ErasureRefused where there are no such calls, or too many."""
    columns = ("id", "area", "closed_at", "removal_id")
    found = list(chosen(selection).values(*columns)[: MOST + 1])
    if not found:
        raise ErasureRefused("There are no such calls.")
    if len(found) > MOST:
        raise ErasureRefused(f"These are more than {MOST} calls: say from when until when.")
    kept = set(chosen(selection).filter(held(holds_in_force())).values_list("id", flat=True))
    return Outlook(
        calls=len(found),
        held=len(kept),
        still_open=sum(row["closed_at"] is None for row in found),
        gone=sum(row["removal_id"] is not None for row in found),
        areas=tuple(sorted({row["area"] for row in found})),
        days=len({day_of(ids.time_of(row["id"])) for row in found}),
    )


def begin(*, selection: Selection, by: Who, proposed_by: str, name: str) -> Job:
    """Due at once. In the transaction of the confirmation. `name` is what tombstones call it."""
    options = {**selection.as_json(), "name": name, "proposed_by": proposed_by, "by": by.name}
    return jobs.begin(kind=KIND, options=options, asked_by=by.subject, result={"calls": 0})


def sweep() -> int:
    """Work on what is due for a while. Returns how many calls were erased."""
    ends, gone = time.monotonic() + TURN, 0
    while time.monotonic() < ends and (job := jobs.claim(KIND)) is not None:
        try:
            gone += _work(job, ends)
        except ErasureRefused as error:
            jobs.finish(job, state="failed", result={**(job.result or {}), "problem": str(error)})
        except DatabaseError as error:  # the lease runs out and the next sweep goes on
            log.warning("erasure %s: %s", job.pk, type(error).__name__)
            return gone
    return gone


def _work(job: Job, ends: float) -> int:
    sums, selection, gone = dict(job.result or {}), Selection.of(job.options), 0
    if sums.get("tries", 0) > jobs.TRIES:
        raise ErasureRefused("The worker stopped several times at the same place.")
    secure()
    indexing.index_pending()  # else what waits would be indexed after its call had gone
    while batches := _batches(selection):
        for (day, area), calls in batches.items():
            count = _erase(job, calls, day, area)
            gone += count
            sums["calls"] += count
        if not jobs.keep(job, sums):
            return gone
        if time.monotonic() >= ends:
            jobs.release(job)
            return gone
    _end(job, selection, sums)
    tidy()
    return gone


def _batches(selection: Selection) -> dict[tuple[date, str], list[UUID]]:
    """The next calls that can be erased, by day and area."""
    rows = chosen(selection).filter(removal_id=None, closed_at__isnull=False)
    rows = rows.exclude(held(holds_in_force()))
    found: defaultdict[tuple[date, str], list[UUID]] = defaultdict(list)
    for call, area in days.in_order(rows).values_list("id", "area")[:AT_ONCE]:
        found[day_of(ids.time_of(call)), area].append(call)
    return dict(found)


def _erase(job: Job, calls: Sequence[UUID], day: date, area: str) -> int:
    said = job.options
    detail = (("proposed_by", said["proposed_by"]), ("confirmed_by", said["by"]))
    cause = Cause(kind="erased", why=said["name"], job_id=job.pk, detail=detail)
    with transaction.atomic():
        ask_rekeying(day, calls)
        return remove(calls, day=day, area=area, cause=cause)


def ask_rekeying(day: date, calls: Sequence[UUID]) -> None:
    """Note that a day needs a new key; its whole month where a month's key wraps one of these calls."""
    rows = days.key_rows(day, day + timedelta(days=1)).filter(id__in=list(calls))
    names = rows.values_list("wrapped_by", flat=True).distinct()
    touched = {day}
    for found in filter(None, map(period, names)):
        if found.of_month:
            touched |= set(days.days_with_calls(found.first, found.following - timedelta(days=1)))
    for each in sorted(touched):
        EvidenceDay.objects.update_or_create(day=each, defaults={"rekey_asked_at": ids.now()})


def _end(job: Job, selection: Selection, sums: dict[str, Any]) -> None:
    """Exports go as well, after what they could read anew. Calls that are open are waited for."""
    gone = chosen(selection).filter(removal_id__isnull=False).values_list("id", flat=True)
    sums["exports"] = sums.get("exports", 0) + exports_take_back(list(gone), lambda: jobs.keep(job, sums))
    kept = held(holds_in_force())
    left = chosen(selection).filter(removal_id=None)
    sums["held"] = left.filter(kept).count()
    if left.filter(closed_at=None).exclude(kept).exists():
        if jobs.keep(job, sums):
            jobs.later(job, AGAIN)
        return
    jobs.finish(job, state="done", result=sums)
