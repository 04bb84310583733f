"""Who holds identities and keys, read column by column: of very many, objects would be slow to make."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

from django.contrib.auth.models import Group

from gateway.models import ServiceAccount, User
from gateway.proxy.locking import Locks

BATCH: Final = 500
"""Values in one question to the store."""

COLUMNS: Final = (
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

Value = TypeVar("Value")


class Holder(NamedTuple):
    """A person or a service account, as `COLUMNS` has them."""

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

    @property
    def id(self) -> UUID | None:
        return self.account_id or self.user_id

    @property
    def kind(self) -> str:
        return "service" if self.account_id else "person"

    @property
    def subject(self) -> str:
        return f"service:{self.account}" if self.account_id else f"local:{self.username}"

    @property
    def shown(self) -> str:
        if self.account_id:
            return self.account
        return f"{self.first_name or ''} {self.last_name or ''}".strip() or self.username

    def refusal(self, groups: frozenset[int], locks: Locks) -> str:
        """Why they may not call: inactive or locked; empty if they may. `groups`: all that they are in."""
        active = self.account_active and self.owner_active if self.account_id else self.user_active
        if not active:
            return "inactive"
        if self.account_id:
            locked = locks.on_account(self.account_id, self.owner_id, self.area_id)
        else:
            locked = locks.on("user", self.user_id)
        return "locked" if locked or not locks.groups.isdisjoint(groups) else ""


class Held(NamedTuple):
    """Some groups; whoever has the same ones shares this."""

    ids: frozenset[int]
    names: tuple[str, ...]


class Groups:
    """Who is in which groups, read once for each holder of a build."""

    def __init__(self) -> None:
        self._called: dict[int, str] = dict(Group.objects.values_list("pk", "name"))
        self._people: dict[UUID, frozenset[int]] = {}
        self._programs: dict[UUID, frozenset[int]] = {}
        self._shared: dict[frozenset[int], Held] = {}

    def read(self, holders: Collection[Holder], *, everybody: bool = False) -> None:
        """Have the groups of these known; of `everybody` if so many are asked for."""
        people = {each.user_id for each in holders if each.user_id and not each.account_id}
        programs = {each.account_id for each in holders if each.account_id}
        _read(self._people, User.groups.through, "user_id", people, everybody)
        _read(self._programs, ServiceAccount.groups.through, "serviceaccount_id", programs, everybody)

    def of(self, holder: Holder) -> frozenset[int]:
        """All that they are in. Their groups have been read."""
        if holder.account_id:
            return self._programs.get(holder.account_id, frozenset())
        return self._people.get(holder.user_id, frozenset()) if holder.user_id else frozenset()

    def held(self, ids: frozenset[int]) -> Held:
        found = self._shared.get(ids)
        if found is None:
            called = {pk: self._called[pk] for pk in ids if pk in self._called}
            found = self._shared[ids] = Held(frozenset(called), tuple(sorted(called.values())))
        return found


def batches(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    for start in range(0, len(values), BATCH):
        yield values[start : start + BATCH]


def _read(
    known: dict[UUID, frozenset[int]], through: Any, column: str, holders: Iterable[UUID], everybody: bool
) -> None:
    rows = through._default_manager.values_list(column, "group_id")
    new = [each for each in holders if each not in known]
    found: dict[UUID, list[int]] = {}
    for some in [None] if everybody else batches(new):
        for holder, group in rows if some is None else rows.filter(**{f"{column}__in": some}):
            found.setdefault(holder, []).append(group)
    known.update({each: frozenset(found.get(each, ())) for each in new})
