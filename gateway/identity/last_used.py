"""When a key was last used and from where: about once a minute, on no history and without a new revision.

It says that a valid key was shown, also where the call was refused: that is what one asks after a leak.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Q

from gateway.models import ApiKey

EVERY: Final = timedelta(minutes=1)
BATCH: Final = 200
"""Keys in one transaction: on SQLite the record waits for it."""


class Use(NamedTuple):
    key_id: UUID
    at: datetime
    address: str


def key_used(*, key: ApiKey, address: str, now: datetime) -> None:
    """One use, off the data path."""
    if key.last_used_at is None or now - key.last_used_at >= EVERY:
        uses_told(uses=[Use(key.pk, now, address)])


def uses_told(*, uses: Iterable[Use]) -> None:
    """Write what is newer than what is known. Raises a database error; telling it again does no harm."""
    rows = sorted(uses)  # in one order, so that two processes never wait for each other
    for start in range(0, len(rows), BATCH):
        with transaction.atomic():
            for use in rows[start : start + BATCH]:
                older = Q(last_used_at=None) | Q(last_used_at__lt=use.at)
                found = ApiKey.objects.filter(older, pk=use.key_id)
                found.update(last_used_at=use.at, last_used_from=use.address[:64])
