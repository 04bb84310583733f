"""Who is known at which issuer: read with the snapshot for those who call, and for one who comes anew.

An issuer may have very many people, and the snapshot is built whenever one of them is new. So it holds those
whom this process has met lately, and costs what they cost.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID

from django.contrib.auth.models import Group
from django.db.models import Q

from gateway.models import Identity, ServiceAccount, User
from gateway.proxy.locking import Locks
from gateway.proxy.routes import Caller, Known, Name, Snapshot

MET: Final = 10_000
"""Names that a process keeps in mind, the latest that came: as many as tokens."""

BATCH: Final = 500
"""Values in one question to the store."""

COLUMNS = (
    "issuer",
    "subject",
    "name",
    "user_id",
    "user__username",
    "user__first_name",
    "user__last_name",
    "user__is_active",
    "service_account_id",
    "service_account__name",
    "service_account__is_active",
    "service_account__area_id",
    "service_account__owner_id",
    "service_account__owner__is_active",
)


class _Row(NamedTuple):
    """One identity with its holder, column by column: of very many, objects would be slow to make."""

    issuer: str
    subject: str
    name: str
    user_id: UUID | None
    username: str
    first_name: str
    last_name: str
    user_active: bool
    account_id: UUID | None
    account: str
    account_active: bool
    area_id: UUID | None
    owner_id: UUID | None
    owner_active: bool


class Found(NamedTuple):
    """Whom the store had under a name at a revision; None: nobody."""

    known: Known | None
    since: int


class Met:
    """The names that came with tokens to this process, and whom the store had under them.

    What was read for one name counts until a snapshot of a later revision is there: that one has the name,
    since it was added before the revision was read.
    """

    def __init__(self) -> None:
        self._found: dict[Name, Found | None] = {}
        self._lock = threading.Lock()

    def add(self, names: Iterable[Name]) -> None:
        """They call, now or still."""
        with self._lock:
            for name in names:
                self._found[name] = self._found.pop(name, None)
            while len(self._found) > MET:
                del self._found[next(iter(self._found))]

    def names(self) -> list[Name]:
        with self._lock:
            return list(self._found)

    def learn(self, found: Mapping[Name, Known | None], since: int) -> None:
        """What the store said after this revision had been read."""
        with self._lock:
            for name, known in found.items():
                before = self._found.get(name)
                if before is None or before.since <= since:
                    self._found[name] = Found(known, since)

    def of(self, snapshot: Snapshot, name: Name) -> Found | None:
        """Who this is now; None: ask the store."""
        found = self._found.get(name)
        if found is not None and snapshot.revision < found.since:
            return found
        known = snapshot.known.get(name)
        if known is not None:
            return Found(known, snapshot.revision)
        return found if found is not None and found.since == snapshot.revision else None


def known(locks: Locks, names: Collection[Name] | None = None) -> dict[Name, Known]:
    """Who has these names; without any, everybody."""
    asked = [Q()] if names is None else _named(names)
    rows = [_Row(*row) for each in asked for row in Identity.objects.filter(each).values_list(*COLUMNS)]
    called = dict(Group.objects.values_list("pk", "name"))
    few = names is not None
    people = _groups(User.groups.through, "user_id", [row.user_id for row in rows] if few else None)
    programs = [row.account_id for row in rows] if few else None
    accounts = _groups(ServiceAccount.groups.through, "serviceaccount_id", programs)
    found = {}
    for row in rows:
        held = accounts.get(row.account_id, ()) if row.account_id else people.get(row.user_id, ())
        groups = {pk: called[pk] for pk in held if pk in called}
        found[row.issuer, row.subject] = Known(_caller(row, groups, locks), row.name)
    return found


def one(issuer: str, subject: str, locks: Locks) -> Known | None:
    return known(locks, [(issuer, subject)]).get((issuer, subject))


def _named(names: Collection[Name]) -> Iterator[Q]:
    subjects: dict[str, list[str]] = {}
    for issuer, subject in names:
        subjects.setdefault(issuer, []).append(subject)
    for issuer, some in subjects.items():
        for start in range(0, len(some), BATCH):
            yield Q(issuer=issuer, subject__in=some[start : start + BATCH])


def now() -> datetime:
    return datetime.now(UTC)


def _groups(
    through: type, column: str, holders: Iterable[UUID | None] | None
) -> dict[UUID | None, list[int]]:
    """The groups of these holders, or of all."""
    rows = through._default_manager.values_list(column, "group_id")  # type: ignore[attr-defined]  # by Django
    found: dict[UUID | None, list[int]] = {}
    for some in [None] if holders is None else _batches(list({each for each in holders if each})):
        for holder, group in rows if some is None else rows.filter(**{f"{column}__in": some}):
            found.setdefault(holder, []).append(group)
    return found


def _batches(ids: list[UUID]) -> Iterator[list[UUID]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def _caller(row: _Row, groups: dict[int, str], locks: Locks) -> Caller:
    holder = row.account_id or row.user_id
    full = f"{row.first_name or ''} {row.last_name or ''}".strip()
    return Caller(
        person_id=holder,
        subject=f"service:{row.account}" if row.account_id else f"local:{row.username}",
        name=row.account if row.account_id else full or row.username,
        kind="service" if row.account_id else "person",
        owner_id=row.owner_id,
        key_id=None,
        key_prefix="",
        groups=tuple(sorted(groups.values())),
        group_ids=frozenset(groups),
        expires_at=float("inf"),
        refusal=_refusal(row, groups, locks),
        account=str(holder),
    )


def _refusal(row: _Row, groups: Iterable[int], locks: Locks) -> str:
    active = row.account_active and row.owner_active if row.account_id else row.user_active
    if not active:
        return "inactive"
    if row.account_id:
        locked = locks.on_account(row.account_id, row.owner_id, row.area_id)
    else:
        locked = locks.on("user", row.user_id)
    return "locked" if locked or not locks.groups.isdisjoint(groups) else ""
