"""What is due: the calls of a day in groups that rules tell apart. Reads only, as the dry run does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, final

from django.db.models import Count, Min, Q

from audit.keynames import day_of
from audit.models import Call, EvidenceDay, LegalHold, RetentionRule
from audit.retention import days
from audit.retention.holds import held, holds_in_force
from audit.retention.rules import Scope, Term, digest_of, rules_in_force, scope_of, term_of

_COLUMNS: Final = ("area", "endpoint", "policy", "highest")
BOUND: Final = 62
"""Days that a dry run looks at, oldest first: a page waits for it."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Calls of one day that the same rules keep. `calls` are closed; of them a hold keeps `held`."""

    day: date
    which: Q  # among the calls of the day
    scope: Scope
    term: Term
    calls: int
    held: int
    waiting: int  # still open, so that nobody removes them yet


def groups(
    day: date, rules: Sequence[RetentionRule], holds: Sequence[LegalHold], *, removed: bool = False
) -> list[Group]:
    """The calls of a day whose payloads are there, or whose were removed and the rows are there."""
    rows = days.calls_on(day).filter(removal_id__isnull=not removed)
    closed = Q(closed_at__isnull=False)
    found = (
        rows.order_by()
        .values(*_COLUMNS)
        .annotate(
            calls=Count("id", filter=closed),
            kept=Count("id", filter=closed & (held(holds) if holds else Q(pk__in=[]))),
            waiting=Count("id", filter=~closed),
        )
    )
    return [_group(day, row, rules) for row in found]


def _group(day: date, row: dict[str, object], rules: Sequence[RetentionRule]) -> Group:
    scope = scope_of(row)
    return Group(
        day=day,
        which=Q(**{column: row[column] for column in _COLUMNS}),
        scope=scope,
        term=term_of(scope, rules),
        calls=int(str(row["calls"])),
        held=int(str(row["kept"])),
        waiting=int(str(row["waiting"])),
    )


def next_due(found: Iterable[Group], removed: Iterable[Group], today: date) -> date | None:
    """When something of a day is due next, holds aside."""
    dates = [group.term.payloads_due(group.day) for group in found]
    dates += [group.term.rows_due(group.day) for group in (*found, *removed)]
    return min((each for each in dates if each is not None and each > today), default=None)


def unsettled(digest: str, last: date, today: date) -> Iterator[date]:
    """Days that rules or holds may have something to say about: those that changed since, or that are due."""
    first = days.in_order(Call.objects.all()).values_list("started_at", flat=True).first()
    if first is None:
        return
    known = EvidenceDay.objects.filter(settled=digest, day__lte=last)
    quiet = set(known.filter(Q(next_due=None) | Q(next_due__gt=today)).values_list("day", flat=True))
    for day in days.days_with_calls(day_of(first), last):
        if day not in quiet:
            yield day


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Calls of one endpoint and level whose payloads, or rows, would go today, or are held."""

    what: str  # payloads | rows
    rule: str
    area: str
    endpoint: str
    level: str
    first: date
    last: date
    calls: int
    held: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """`more`: later days were not looked at."""

    lines: tuple[Line, ...]
    more: bool

    @property
    def going(self) -> int:
        return sum(line.calls - line.held for line in self.lines if line.what == "payloads")


def dry_run(rules: Sequence[RetentionRule] | None = None, today: date | None = None) -> DryRun:
    """What a run would remove today, by these rules instead of those in force if they are given."""
    rules, today = rules_in_force() if rules is None else rules, today or days.today()
    if not rules:
        return DryRun(lines=(), more=False)
    holds = holds_in_force()
    sums: dict[tuple[str, ...], Line] = {}
    found = unsettled(digest_of(rules, holds), latest_due(rules, today), today)
    for looked, day in enumerate(found):
        if looked == BOUND:
            return DryRun(lines=_sorted(sums), more=True)
        for what, group in _due(day, rules, holds, today):
            key = (what, group.term.rule, group.scope.area, group.scope.endpoint, group.scope.level)
            sums[key] = _plus(sums.get(key), what, group)
    return DryRun(lines=_sorted(sums), more=False)


def _due(
    day: date, rules: Sequence[RetentionRule], holds: Sequence[LegalHold], today: date
) -> Iterator[tuple[str, Group]]:
    """A run removes payloads first, and then the rows of what has none: so rows may go on the same day."""
    there, removed = groups(day, rules, holds), groups(day, rules, holds, removed=True)
    for group in there:
        if group.calls and is_due(group.term.payloads_due(day), today):
            yield "payloads", group
    for group in (*there, *removed):
        if group.calls and is_due(group.term.rows_due(day), today):
            yield "rows", group


def is_due(due: date | None, today: date) -> bool:
    return due is not None and due <= today


def oldest_overdue() -> datetime | None:
    """When the oldest call began whose payload should be gone and is not held; None where nothing is overdue.

    For the page and for monitoring: it stays None while runs do their work, by the end of each day.
    """
    rules, today = rules_in_force(), days.today()
    if not rules:
        return None
    holds = holds_in_force()
    for day in unsettled(digest_of(rules, holds), latest_due(rules, today), today):
        which = Q(pk__in=[])
        for group in groups(day, rules, holds):
            if group.calls > group.held and is_due(group.term.payloads_due(day), today):
                which |= group.which
        rows = days.calls_on(day).filter(which, removal_id=None, closed_at__isnull=False)
        found = rows.exclude(held(holds)).aggregate(first=Min("started_at"))["first"]
        if found is not None:
            return found  # type: ignore[no-any-return] # the aggregate's own type is unknown
    return None


def latest_due(rules: Iterable[RetentionRule], today: date) -> date:
    """The last day of which anything can be due."""
    shortest = min((rule.payload_days for rule in rules if rule.payload_days is not None), default=None)
    return date.min if shortest is None else today - timedelta(days=shortest + 1)


def _plus(line: Line | None, what: str, group: Group) -> Line:
    return Line(
        what=what,
        rule=group.term.rule,
        area=group.scope.area,
        endpoint=group.scope.endpoint,
        level=group.scope.level,
        first=min(line.first, group.day) if line else group.day,
        last=max(line.last, group.day) if line else group.day,
        calls=group.calls + (line.calls if line else 0),
        held=group.held + (line.held if line else 0),
    )


def _sorted(sums: dict[tuple[str, ...], Line]) -> tuple[Line, ...]:
    return tuple(sums[key] for key in sorted(sums))
