"""A preview's job row as its page shows it. Reads only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet

from audit import ids
from audit.models import Job
from gateway.console.tally import EXAMPLES, Tally

LATE: Final = timedelta(seconds=60)
ACTIONS: Final = ("passed", "masked", "flagged", "held", "blocked")


@dataclass(frozen=True, slots=True)
class Cell:
    """Calls that went from one action to another; `changed` off the diagonal."""

    count: int
    changed: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the matrix: what the calls were, and what they would be."""

    action: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Day:
    """Approvals of one day: as they were, and as they would be."""

    day: date
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One call of the examples."""

    call: UUID
    at: datetime
    endpoint: str
    before: dict[str, Any]
    after: dict[str, Any]
    treated: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Everything that the page shows."""

    state: str  # waiting | running | done | failed | cancelled
    problem: str
    late: bool  # due for longer than a worker that runs would let it lie
    sums: Tally
    percent: int
    columns: tuple[str, ...]
    matrix: tuple[Line, ...]
    days: tuple[Day, ...]
    holds: int
    holds_before: int
    peak: Day | None
    per_day: str  # approvals a day on average over the days covered
    unjudged: int
    oldest: datetime | None
    newest: datetime | None
    skipped: tuple[tuple[str, int], ...]
    versions: tuple[tuple[str, int], ...]
    examples: tuple[Example, ...]


def outlook(job: Job) -> Outlook:
    result = job.result or {}
    sums = Tally.of(result["tally"])
    days = tuple(_days(sums))
    holds = sum(sums.holds.values())
    oldest, newest = _moment(sums.oldest), _moment(sums.newest)
    return Outlook(
        state=result.get("ended") or {"pending": "waiting"}.get(job.state, job.state),
        problem=result.get("problem", ""),
        late=_is_late(job),
        sums=sums,
        percent=100 * sums.seen // sums.total if sums.total else 0,
        columns=ACTIONS,
        matrix=tuple(_matrix(sums)),
        days=days,
        holds=holds,
        holds_before=sum(sums.held.values()),
        peak=max(days, key=lambda day: day.after, default=None) if holds else None,
        per_day=_average(holds, oldest, newest),
        unjudged=sum(sums.skipped.values()),
        oldest=oldest,
        newest=newest,
        skipped=tuple(sums.skipped.most_common()),
        versions=tuple(sums.versions.most_common()),
        examples=tuple(map(_example, [*sums.examples, *sums.others][:EXAMPLES])),
    )


def _is_late(job: Job) -> bool:
    now = ids.now()
    waits = job.leased_until is None or job.leased_until < now
    return job.finished_at is None and waits and job.created_at < now - LATE


def earlier(found: QuerySet[Job], limit: int) -> list[tuple[Job, Outlook]]:
    """The latest previews of one version, newest first."""
    return [(job, outlook(job)) for job in found.order_by("-created_at", "-id")[:limit]]


def _matrix(sums: Tally) -> Iterable[Line]:
    for old in ACTIONS:
        counts = [sums.matrix.get(f"{old}>{new}", 0) for new in ACTIONS]
        if any(counts):
            cells = zip(ACTIONS, counts, strict=True)
            yield Line(old, tuple(Cell(count, bool(count) and new != old) for new, count in cells))


def _days(sums: Tally) -> Iterable[Day]:
    for day in sorted({*sums.holds, *sums.held}):
        yield Day(date.fromisoformat(day), sums.held.get(day, 0), sums.holds.get(day, 0))


def _average(holds: int, oldest: datetime | None, newest: datetime | None) -> str:
    if oldest is None or newest is None:
        return "0"
    days = (newest.date() - oldest.date()).days + 1
    return f"{holds / days:.1f}".removesuffix(".0")


def _example(row: dict[str, Any]) -> Example:
    return Example(
        call=UUID(row["call"]),
        at=datetime.fromisoformat(row["at"]),
        endpoint=row["endpoint"],
        before=row["before"],
        after=row["after"],
        treated=row["treated"],
    )


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
