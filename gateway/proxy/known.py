"""Who is known at which issuer: read with the snapshot for those who call, and for one who comes anew."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from django.db.models import Q

from gateway.models import Identity
from gateway.proxy.holders import COLUMNS, Groups, Holder, batches
from gateway.proxy.locking import Locks
from gateway.proxy.routes import Caller, Known, Name


def known(
    locks: Locks, names: Collection[Name] | None = None, groups: Groups | None = None
) -> dict[Name, Known]:
    """Who has these names; without any, everybody."""
    asked = [Q()] if names is None else list(_named(names))
    columns = ("issuer", "subject", "name", *COLUMNS)
    rows = [row for each in asked for row in Identity.objects.filter(each).values_list(*columns)]
    if not rows:
        return {}
    holders = [Holder(*row[3:]) for row in rows]
    groups = groups or Groups()
    groups.read(holders, everybody=names is None)
    return {
        (row[0], row[1]): Known(_caller(holder, groups, locks), row[2])
        for row, holder in zip(rows, holders, strict=True)
    }


def one(issuer: str, subject: str, locks: Locks) -> Known | None:
    return known(locks, [(issuer, subject)]).get((issuer, subject))


def _named(names: Collection[Name]) -> Iterator[Q]:
    subjects: dict[str, list[str]] = {}
    for issuer, subject in names:
        subjects.setdefault(issuer, []).append(subject)
    for issuer, some in subjects.items():
        for batch in batches(some):
            yield Q(issuer=issuer, subject__in=batch)


def now() -> datetime:
    return datetime.now(UTC)


def _caller(holder: Holder, groups: Groups, locks: Locks) -> Caller:
    ids = groups.of(holder)
    held = groups.held(ids)
    return Caller(
        person_id=holder.id,
        subject=holder.subject,
        name=holder.shown,
        kind=holder.kind,
        owner_id=holder.owner_id,
        key_id=None,
        key_prefix="",
        groups=held.names,
        group_ids=held.ids,
        expires_at=float("inf"),
        refusal=holder.refusal(ids, locks),
        account=str(holder.id),
    )
