"""What is locked at one moment, and what a lock stops: part of building a snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from gateway.models import ApiKey, Lock, ServiceAccount, User
from gateway.models.lock import lock_in_force


class Locks:
    """What is locked now, and when that changes by itself."""

    def __init__(self, locks: Iterable[Lock]) -> None:
        self._targets: set[tuple[str, UUID | None]] = set()
        self.everything = False
        self.ends: list[float] = []
        groups: set[int] = set()
        for lock in locks:
            for name in ("user", "service_account", "api_key", "endpoint", "area"):
                self._targets.add((name, getattr(lock, f"{name}_id")))
            if lock.group_id is not None:
                groups.add(lock.group_id)
            self.everything = self.everything or lock.everything
            if lock.expires_at is not None:
                self.ends.append(lock.expires_at.timestamp())
        self.groups = frozenset(groups)

    def on(self, name: str, target: UUID | None) -> bool:
        return target is not None and (name, target) in self._targets

    def on_account(self, account_id: UUID, owner_id: UUID | None, area_id: UUID | None) -> bool:
        """A service account falls with the person who answers for it, and with the area that it lies in."""
        return self.on("service_account", account_id) or self.on("user", owner_id) or self.on("area", area_id)


def locks_at(now: datetime) -> Locks:
    return Locks(Lock.objects.filter(lock_in_force(now)))


def caller_refusal(key: ApiKey, locks: Locks) -> str:
    """Why the holder of a key may not call: revoked, inactive or locked; empty if they may.

    A lock on a group counts for all who are in it, also where their key does not carry it.
    """
    account, user = key.service_account, key.user
    if key.revoked_at is not None:
        return "revoked"
    active = account.is_active and account.owner.is_active if account else bool(user and user.is_active)
    if not active:
        return "inactive"
    holder = account or user
    assert holder is not None  # noqa: S101  else it were inactive
    return "locked" if locks.on("api_key", key.id) or holder_locked(holder, locks) else ""


def holder_locked(holder: User | ServiceAccount, locks: Locks) -> bool:
    if locks.groups and not locks.groups.isdisjoint([group.id for group in holder.groups.all()]):
        return True
    if isinstance(holder, User):
        return locks.on("user", holder.id)
    return locks.on_account(holder.id, holder.owner_id, holder.area_id)
