"""Taking what is due, so that one sweep alone works on it, and telling whether it is still ours.

A row is taken by moving the time at which it is due, as far as the lease lasts. Whoever comes late changes
nothing, and learns so.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import F
from django.utils import timezone

from gateway.models import CredentialVersion, Rotation

LEASE: Final = timedelta(seconds=60)


class Lost(Exception):
    """It is somebody else's by now, or was ended by a person."""


def take(rotation: Rotation) -> bool:
    """False if it is somebody else's."""
    until = timezone.now() + LEASE
    if not _mine(rotation).update(next_at=until, tries=F("tries") + 1):
        return False
    rotation.next_at, rotation.tries = until, rotation.tries + 1
    return True


def save(rotation: Rotation, **values: Any) -> None:
    """Write these of a rotation that is ours. Raises `Lost`."""
    if not _mine(rotation).update(**values):
        raise Lost
    for name, value in values.items():
        setattr(rotation, name, value)


def advance(rotation: Rotation, step: str, **values: Any) -> None:
    """On to the next step, which is due at once. Raises `Lost`."""
    now = timezone.now()
    save(rotation, step=step, next_at=now, step_since=now, tries=0, error="", detail="", **values)


def _mine(rotation: Rotation) -> Any:
    return Rotation.objects.filter(pk=rotation.pk, step=rotation.step, next_at=rotation.next_at)


def take_version(version: CredentialVersion) -> bool:
    """For taking it back; False if somebody else does."""
    until = timezone.now() + LEASE
    rows = CredentialVersion.objects.filter(pk=version.pk, retire_next_at=version.retire_next_at)
    if not rows.update(retire_next_at=until):
        return False
    version.retire_next_at = until
    return True


def backoff(tries: int, *, least: float, most: float) -> datetime:
    """When to try again after so many tries: twice as long each time. Seconds."""
    return timezone.now() + timedelta(seconds=min(most, least * 2 ** min(max(tries - 1, 0), 30)))
