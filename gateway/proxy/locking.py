"""What is locked at one moment, and what a lock stops: part of building a snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from gateway.models import Lock
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
