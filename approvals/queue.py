"""The reviewers' queue: what waits, what was approved and not used yet, what was decided today.

By keyset, so that the hundredth page costs what the first one does, and no number is counted beyond what the
page prints. Where an order has two columns, the first one alone narrows the index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q, QuerySet

from approvals import counting, walls
from approvals.models import OPEN, Approval, Status
from approvals.moves import epoch
from approvals.services import LOOK_WITHIN
from audit.inert import Segment, segments
from audit.listing import Found, found_of
from policies import persons

PAGE: Final = 50
COUNTED: Final = 100
"""What waits is counted up to this; beyond it the page says so."""

WINDOW: Final = 10_000
"""Approvals that one page looks through for those of somebody's groups."""

EMERGENCIES: Final = 20
STATUSES: Final = ("waiting", "unused", "today")
ORDERS: Final = ("deadline", "risk")
LEVELS: Final = ("public", "internal", "confidential", "restricted")
PURPOSE: Final = 140
"""Characters of a purpose that a line has room for."""

SOON: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What somebody asked to see; empty text: any."""

    status: str = "waiting"
    order: str = "deadline"
    everyone: bool = False  # also what others decide about
    area: str = ""
    endpoint: str = ""
    requester: str = ""
    level: str = ""

    @property
    def narrowed(self) -> bool:
        return bool(self.area or self.endpoint or self.requester or self.level)

    @property
    def plain(self) -> bool:
        """Whether it asks for what waits for whoever looks, and nothing else."""
        return self.status == "waiting" and not self.everyone and not self.narrowed

    def query(self, **other: Any) -> str:
        """The same filters, but for `other`, as the query of an address."""
        chosen = replace(self, **other)
        values = {
            name: "1" if value is True else value
            for name in self.__slots__
            if (value := getattr(chosen, name)) and value not in ("waiting", "deadline")
        }
        return urlencode(values)


def filters_of(given: Mapping[str, str]) -> Filters:
    """From an address; what is no filter counts as none."""

    def one_of(name: str, known: Sequence[str], default: str) -> str:
        value = given.get(name, default)
        return value if value in known else default

    def words(name: str, longest: int) -> str:
        return given.get(name, "").replace("\0", "").strip()[:longest]  # PostgreSQL takes no NUL

    return Filters(
        status=one_of("status", STATUSES, "waiting"),
        order=one_of("order", ORDERS, "deadline"),
        everyone=given.get("everyone") == "1",
        area=words("area", 50),
        endpoint=words("endpoint", 50),
        requester=words("requester", 150),
        level=one_of("level", LEVELS, ""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the queue."""

    id: UUID
    status: str  # a badge's
    status_text: str
    created_at: datetime
    expires_at: datetime
    decided_at: datetime | None
    hurry: bool
    requester: str
    kind: str
    purpose: tuple[Segment, ...]
    area: str
    endpoint: str
    model: str
    policy: str
    highest: str
    risk: int
    found: tuple[Found, ...]
    votes: int
    needed: int
    emergency: bool
    clear: bool
    mine: bool  # whoever looks may decide about it
    own: bool


@dataclass(frozen=True, slots=True)
class Count:
    """How many wait for somebody, as it is printed."""

    number: int
    at_least: bool = False

    def __str__(self) -> str:
        return f"{COUNTED - 1}+" if self.number >= COUNTED else f"{self.number}{'+' * self.at_least}"

    def __bool__(self) -> bool:
        return self.number > 0


@dataclass(frozen=True, slots=True)
class Page:
    """One page; `older` is the id to continue after, None at the end."""

    rows: Sequence[Row]
    older: UUID | None
    further: bool = False  # there is more to look through, which may hold nothing
    waiting: Count | None = None  # how many wait for whoever looks, where the page has seen that on its way


def waiting_for(person: Any, now: datetime) -> Count:
    """What waits for this person's decision."""
    rows, end = _window(person, _open(now, Status.PENDING), "deadline", None)
    found = len(walls.assigned(person, rows).order_by().values_list("pk", flat=True)[:COUNTED])
    return _count(found, end)


def _count(found: int, end: UUID | None) -> Count:
    """`end`: where the looking stopped before there was no more."""
    return Count(min(found, COUNTED), end is not None and found < COUNTED)


def waiting_seen(person: Any, now: datetime) -> Count:
    """What waits at all, where this person may look."""
    rows = walls.seen_by(person).filter(_open(now, Status.PENDING))
    return Count(len(rows.order_by().values_list("pk", flat=True)[:COUNTED]))


def queue_page(person: Any, wanted: Filters, after: UUID | None, now: datetime) -> Page:
    """`after` is the last id of the page before; one that is gone, or not theirs to see, is the beginning."""
    order = "today" if wanted.status == "today" else wanted.order
    last = walls.seen_by(person).filter(pk=after).first() if after else None
    rows, end = _window(person, _standing(wanted.status, now), order, last)
    rows = _narrowed(rows, wanted)
    groups, accounts = walls.groups_of(person), persons.accounts_of(person.pk)
    if not wanted.everyone and wanted.status == "waiting":
        rows = walls.assigned(person, rows, groups=groups, accounts=accounts)
    elif not wanted.everyone and wanted.status == "unused":
        rows = _decidable(person, rows)
    counts = wanted.plain and last is None  # one look for the page and the number in its title
    found = list(rows[: max(PAGE + 1, COUNTED) if counts else PAGE + 1])
    full = len(found) > PAGE
    return Page(
        _rows(person, found[:PAGE], now, groups, accounts),
        found[PAGE - 1].pk if full else end,
        not full and end is not None,
        _count(len(found), end) if counts else None,
    )


def emergencies(person: Any, now: datetime) -> list[Row]:
    """What one person let through alone and nobody else has looked at yet, oldest first."""
    accounts = persons.accounts_of(person.pk)
    rows = Approval.objects.filter(emergency=True, looked_at=None, epoch=epoch(), decided_at__isnull=False)
    of_others = _decidable(person, rows).exclude(decided_by__in=accounts).order_by("decided_at")
    found = list(of_others[:EMERGENCIES])
    return _rows(person, found, now, walls.groups_of(person), accounts) if found else []


def overdue(decided_at: datetime | None, now: datetime) -> bool:
    return decided_at is not None and now - decided_at > LOOK_WITHIN


# --- what is asked of the database --------------------------------------------------------------------


def _open(now: datetime, status: Status) -> Q:
    """Written so that SQLite does not take the deadline's index for an order by risk."""
    return Q(epoch=epoch(), status=status) & ~Q(expires_at__lte=now)


def _standing(status: str, now: datetime) -> Q:
    if status == "today":
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return Q(decided_at__gte=today, epoch=epoch())
    return _open(now, Status.APPROVED if status == "unused" else Status.PENDING)


def _narrowed(rows: QuerySet[Approval], wanted: Filters) -> QuerySet[Approval]:
    if wanted.area:
        rows = rows.filter(area=wanted.area)
    if wanted.endpoint:
        rows = rows.filter(endpoint__istartswith=wanted.endpoint)
    if wanted.requester:
        rows = rows.filter(requester_name__icontains=wanted.requester)
    return rows.filter(highest=wanted.level) if wanted.level else rows


def _decidable(person: Any, rows: QuerySet[Approval]) -> QuerySet[Approval]:
    """Those that lie where this person reviews. Their groups are asked when they act."""
    reach = person.areas_with(walls.DECIDES)
    return rows if reach.everywhere else rows.filter(area__in=reach.slugs)


def _window(
    person: Any, standing: Q, order: str, last: Approval | None
) -> tuple[QuerySet[Approval], UUID | None]:
    """Rows in order, from behind `last`, and where they end if not all of them are looked through.

    Whose groups decide is in no index. Somebody for whom nothing waits would otherwise have the database read
    all that waits for others; what the end is found by lies in the index.
    """
    keys = _KEYS[order]
    rows = walls.seen_by(person).filter(standing).order_by(*keys)
    if last is not None:
        rows = rows.filter(_compared(keys, last, beyond=True))
    end = rows.values_list("pk", flat=True)[WINDOW - 1 : WINDOW].first()
    border = Approval.objects.filter(pk=end).first() if end else None
    return (rows if border is None else rows.filter(_compared(keys, border, beyond=False))), end


_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "deadline": ("expires_at", "-risk", "id"),
    "risk": ("-risk", "expires_at", "id"),
    "today": ("-decided_at", "-id"),
}


def _compared(keys: Sequence[str], row: Approval, *, beyond: bool) -> Q:
    """Those behind this row, or those up to it and itself. The first column is said alone as well: that is
    what an index can use."""
    found, same = Q(), Q()
    for key in keys:
        name, down = key.lstrip("-"), key.startswith("-")
        value = getattr(row, name)
        found |= same & Q(**{f"{name}__{'gt' if beyond != down else 'lt'}": value})
        same &= Q(**{name: value})
    first, down = keys[0].lstrip("-"), keys[0].startswith("-")
    narrow = Q(**{f"{first}__{'gte' if beyond != down else 'lte'}": getattr(row, first)})
    return narrow & (found if beyond else found | same)


# --- what a line says ---------------------------------------------------------------------------------


def _rows(
    person: Any, found: Sequence[Approval], now: datetime, groups: set[str], accounts: frozenset[UUID]
) -> list[Row]:
    wanted = [each for each in found if each.needed > 1]
    votes = counting.weighed(wanted) if wanted else {}
    return [
        _row(
            row,
            counting.count(votes.get(row.pk, ())),
            now,
            mine=not walls.why_not(person, row, groups=groups, accounts=accounts),
            own=row.requester_id in accounts or row.owner_id in accounts,
        )
        for row in found
    ]


def _row(row: Approval, votes: int, now: datetime, *, mine: bool, own: bool) -> Row:
    status, words = shown_status(row, now)
    return Row(
        id=row.pk,
        status=status,
        status_text=words,
        created_at=row.created_at,
        expires_at=row.expires_at,
        decided_at=row.decided_at,
        hurry=row.status in OPEN and row.expires_at - now < SOON,
        requester=row.requester_name,
        kind=row.requester_kind,
        purpose=segments(_short(row.purpose)),
        area=row.area,
        endpoint=row.endpoint,
        model=row.model,
        policy=row.policy,
        highest=row.highest,
        risk=row.risk,
        found=found_of(row.counts),
        votes=votes,
        needed=row.needed,
        emergency=row.emergency,
        clear=row.clear,
        mine=mine,
        own=own,
    )


def _short(text: str) -> str:
    return text if len(text) <= PURPOSE else text[: PURPOSE - 1] + "…"


def shown_status(row: Approval, now: datetime) -> tuple[str, str]:
    """A badge's style and its words: what has run out is over, whether or not a sweep has said so."""
    if row.status in OPEN and row.expires_at <= now:
        return Status.EXPIRED.value, "Expired"
    if row.status == Status.PENDING:
        return "held", "Waiting"
    if row.status == Status.APPROVED:
        return row.status, "Approved, not used yet"
    if row.status == Status.CONSUMED:
        return row.status, "Approved and used"
    return row.status, row.get_status_display()
