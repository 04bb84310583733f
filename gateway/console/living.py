"""What runs now, as the record has it: admitted calls that have not ended, of processes that still live.

Facts and counts only, as in the list of calls: looking at it is no event, cutting and locking are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from django.db.models import Q

from audit.listing import Found, found_of
from audit.models import Call, Instance
from gateway.identity.reach import Reach
from gateway.models import Cut, ServiceAccount, User

MOST: Final = 200
"""Calls that a page shows, the oldest first: those that run for long are the ones to look at."""

SILENT: Final = timedelta(minutes=2)
"""A process that has not written a heartbeat for so long is not counted as living; they come each 30 s."""

CUT, SEE, LOCK = "gateway.cut_call", "audit.view_call", "gateway.add_lock"


class Holder(Protocol):
    """A person or a program."""

    def areas_with(self, permission: str) -> Reach: ...


@dataclass(frozen=True, slots=True)
class Target:
    """Something that can be locked: as `gateway.services.lock_target` reads it, and for people."""

    value: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCall:
    """One call under way."""

    id: UUID
    started_at: datetime
    lasts: str
    name: str
    subject: str
    network: str
    groups: tuple[str, ...]
    area: str
    endpoint: str
    model: str
    streaming: bool
    policy: str
    action: str
    highest: str
    found: tuple[Found, ...]
    process: str
    being_cut: bool
    may_cut: bool
    targets: tuple[Target, ...]  # what of it this person may lock

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "id": str(self.id),
            "started_at": self.started_at.isoformat(),
            "name": self.name,
            "subject": self.subject,
            "network": self.network,
            "groups": list(self.groups),
            "area": self.area,
            "endpoint": self.endpoint,
            "model": self.model,
            "streaming": self.streaming,
            "policy": self.policy,
            "action": self.action,
            "highest": self.highest,
            "found": {each.data_class: each.count for each in self.found},
            "process": self.process,
            "being_cut": self.being_cut,
        }


@dataclass(frozen=True, slots=True)
class Live:
    """The calls that somebody may see, oldest first; `more` were left out."""

    calls: Sequence[LiveCall]
    more: int


def may_look(holder: Holder) -> bool:
    return bool(holder.areas_with(CUT)) or bool(holder.areas_with(SEE))


def _seen(holder: Holder) -> Q:
    """Whoever may cut a call sees it, and so does whoever reads the record."""
    cut, see = holder.areas_with(CUT), holder.areas_with(SEE)
    return Q() if cut.everywhere or see.everywhere else cut.q_slug() | see.q_slug()


def live_calls(*, holder: Holder, now: datetime) -> Live:
    """What is under way in the areas that `holder` may see."""
    instances = Instance.objects.filter(stopped_at=None, heartbeat_at__gt=now - SILENT)
    processes = {each.pk: f"{each.host}, {each.pid}" for each in instances}
    found = Call.objects.filter(_seen(holder), instance_id__in=processes, closed_at=None)
    rows = list(found.order_by("id")[:MOST])
    more = found.count() - len(rows) if len(rows) == MOST else 0
    about = _About(holder, rows)
    return Live([about.call(row, processes[row.instance_id], now) for row in rows], more)


class _About:
    """What the rows' calls are looked up by, read once for all of them."""

    def __init__(self, holder: Holder, rows: Iterable[Call]) -> None:
        rows = list(rows)
        callers = {row.person_id for row in rows if row.person_id is not None}
        self._cut, self._lock = holder.areas_with(CUT), holder.areas_with(LOCK)
        self._being_cut = set(
            Cut.objects.filter(call_id__in=[row.pk for row in rows]).values_list("call_id", flat=True)
        )
        lockable = callers if self._lock else set()
        self._people: Mapping[UUID, User] = User.objects.in_bulk(lockable)
        self._accounts: Mapping[UUID, ServiceAccount] = ServiceAccount.objects.in_bulk(lockable)

    def call(self, row: Call, process: str, now: datetime) -> LiveCall:
        return LiveCall(
            id=row.pk,
            started_at=row.started_at,
            lasts=lasts(now - row.started_at),
            name=row.name or "unknown",
            subject=row.subject,
            network=row.network,
            groups=tuple(row.groups),
            area=row.area,
            endpoint=row.endpoint,
            model=row.model,
            streaming=row.streaming,
            policy=row.policy,
            action=row.action,
            highest=row.highest,
            found=found_of(row.counts),
            process=process,
            being_cut=row.pk in self._being_cut,
            may_cut=self._cut.covers_slug(row.area),
            targets=tuple(self._targets(row)),
        )

    def _targets(self, row: Call) -> list[Target]:
        found: list[Target] = []
        if row.person_id is not None:
            person, account = self._people.get(row.person_id), self._accounts.get(row.person_id)
            if self._lock.everywhere and person is not None:
                found.append(Target(f"user:{person.username}", f"the person {person.username}"))
            if account is not None and self._lock.covers(account.area_id):
                found.append(Target(f"service:{account.name}", f"the service account {account.name}"))
            if found and row.key_prefix:
                found.append(Target(f"key:{row.key_prefix}", f"the key {row.key_prefix}…"))
        if self._lock.everywhere:
            found += [Target(f"group:{name}", f"the group {name}") for name in row.groups]
        if self._lock.covers_slug(row.area):
            found.append(Target(f"endpoint:{row.endpoint}", f"the endpoint {row.endpoint}"))
            found.append(Target(f"area:{row.area}", f"the area {row.area}"))
        return found


def lasts(span: timedelta) -> str:
    """How long a call has been under way, for people."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes} min {seconds} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
