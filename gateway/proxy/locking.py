"""What is locked at one moment, and what a lock stops: part of building a snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from gateway.models import ApiKey, Lock, ServiceAccount
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


def locks_at(now: datetime) -> Locks:
    return Locks(Lock.objects.filter(lock_in_force(now)))


def caller_refusal(key: ApiKey, locks: Locks, groups: set[int]) -> str:
    """Why the holder of a key may not call: revoked, inactive or locked; empty if they may.

    `groups`: all that the holder is in. A lock on one counts also where a key does not carry it.
    """
    account, user = key.service_account, key.user
    if key.revoked_at is not None:
        return "revoked"
    active = account.is_active and account.owner.is_active if account else bool(user and user.is_active)
    if not active:
        return "inactive"
    if locks.on("api_key", key.id) or locks.on("user", key.user_id) or not locks.groups.isdisjoint(groups):
        return "locked"
    return "locked" if account and _account_locked(account, locks) else ""


def _account_locked(account: ServiceAccount, locks: Locks) -> bool:
    """It falls with the person who answers for it, and with the area that it lies in."""
    return (
        locks.on("service_account", account.id)
        or locks.on("user", account.owner_id)
        or locks.on("area", account.area_id)
    )
