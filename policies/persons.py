"""Are these two the same person? Every rule that wants two people asks here, by the ids of their accounts.

One human may have several accounts: by a password here and through a provider there, or at two providers.
Once somebody has said that they are one (`gateway.identity.linking`), four eyes count them as one. A program
is nobody: it never proposes, confirms or votes, and who owns it or made its key stands behind what it asks.

Whoever decides holds the links first (`hold`), before any other lock: nobody's accounts become one between
the question and what is decided by its answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection

from audit import ids
from policies.models import LinkedAccount

SHARED: Final = "SHARE"
ALONE: Final = "SHARE ROW EXCLUSIVE"


def hold() -> None:
    """Until the transaction ends no accounts are linked or parted; any number of people decide at once."""
    _lock(SHARED)


def hold_alone() -> None:
    """Before accounts are linked or parted: until the transaction ends nobody decides. First of all: who held
    the links already and then wants them alone would wait for another who does the same."""
    _lock(ALONE)


def accounts_of(*accounts: UUID | None) -> frozenset[UUID]:
    """These, and all other accounts of the persons behind them. None is nobody."""
    given = {each for each in accounts if each is not None}
    persons = LinkedAccount.objects.filter(account__in=given).values("person")
    linked = LinkedAccount.objects.filter(person__in=persons).values_list("account_id", flat=True)
    return frozenset(given.union(linked))


def persons_of(accounts: Iterable[UUID]) -> Mapping[UUID, UUID]:
    """Who stands behind each of these; one that is linked to none is its own person. One query."""
    given = set(accounts)
    linked = LinkedAccount.objects.filter(account__in=given).values_list("account_id", "person")
    return {each: each for each in given} | dict(linked)


def same(one: UUID | None, other: UUID | None) -> bool:
    """Whether two accounts are one person's. Nobody is no one's."""
    return one is not None and other is not None and (one == other or other in accounts_of(one))


def stopped(accounts: Collection[UUID]) -> Mapping[UUID, str]:
    """Of these accounts those that count for nothing now, and why: locked | inactive."""
    people: Any = get_user_model()
    found: Mapping[UUID, str] = people.stopped_among(accounts)
    return found


def link(one: UUID, other: UUID) -> bool:
    """Make two accounts one person's, with everybody linked to either; False where they are already. The
    caller has held the links alone."""
    theirs = accounts_of(one, other)
    if theirs == accounts_of(one):
        return False
    person = ids.new()
    for account in sorted(theirs):
        LinkedAccount.objects.update_or_create(account_id=account, defaults={"person": person})
    return True


def part(account: UUID) -> bool:
    """Say that this account is somebody else's after all; False where it was linked to none. As `link`."""
    others = accounts_of(account) - {account}
    if not others:
        return False
    gone = {account} if len(others) > 1 else {account, *others}
    LinkedAccount.objects.filter(account__in=gone).delete()
    return True


def _lock(mode: str) -> None:
    """On SQLite a transaction that writes is alone from its beginning."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {LinkedAccount._meta.db_table} IN {mode} MODE")
