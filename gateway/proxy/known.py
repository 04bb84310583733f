"""Who is known at which issuer: read with the snapshot for all, and for one who was just vouched for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple, Protocol
from uuid import UUID

from django.contrib.auth.models import Group
from django.db.models import Q

from gateway.models import Identity, ServiceAccount, User
from gateway.proxy.routes import Caller, Known

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
    "service_account__owner_id",
    "service_account__owner__is_active",
)


class Locked(Protocol):
    """What is locked now."""

    def on(self, name: str, target: UUID | None) -> bool: ...


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
    owner_id: UUID | None
    owner_active: bool


def known(locks: Locked, only: Q | None = None) -> dict[tuple[str, str], Known]:
    """Everybody by (issuer, subject), or those of `only`."""
    rows = [_Row(*row) for row in Identity.objects.filter(only or Q()).values_list(*COLUMNS)]
    names = dict(Group.objects.values_list("pk", "name"))
    people = _groups(User.groups.through, "user_id", [row.user_id for row in rows], only)
    accounts = _groups(
        ServiceAccount.groups.through, "serviceaccount_id", [row.account_id for row in rows], only
    )
    found = {}
    for row in rows:
        held = accounts.get(row.account_id, ()) if row.account_id else people.get(row.user_id, ())
        groups = {pk: names[pk] for pk in held if pk in names}
        found[row.issuer, row.subject] = Known(_caller(row, groups, locks), row.name)
    return found


def one(issuer: str, subject: str, locks: Locked) -> Known | None:
    return known(locks, Q(issuer=issuer, subject=subject)).get((issuer, subject))


def now() -> datetime:
    return datetime.now(UTC)


def _groups(
    through: type, column: str, holders: Iterable[UUID | None], only: Q | None
) -> dict[UUID | None, list[int]]:
    """Each holder's groups; for few holders, only theirs are read."""
    rows = through._default_manager.all()  # type: ignore[attr-defined]  # made by Django, without types
    if only is not None:
        rows = rows.filter(**{f"{column}__in": [each for each in holders if each]})
    found: dict[UUID | None, list[int]] = {}
    for holder, group in rows.values_list(column, "group_id"):
        found.setdefault(holder, []).append(group)
    return found


def _caller(row: _Row, groups: dict[int, str], locks: Locked) -> Caller:
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
        refusal=_refusal(row, locks),
        account=str(holder),
    )


def _refusal(row: _Row, locks: Locked) -> str:
    active = row.account_active and row.owner_active if row.account_id else row.user_active
    if not active:
        return "inactive"
    if locks.on("user", row.user_id) or locks.on("service_account", row.account_id):
        return "locked"
    return ""
