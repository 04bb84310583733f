"""Taking a message to send: a lease that one sweep alone gets, and that comes back when its holder died."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db.models import F
from django.utils import timezone

from gateway.models import Delivery, DeliveryState

LEASE: Final = timedelta(seconds=60)


def take(row: Delivery) -> bool:
    """Lease a row; False if it is somebody else's."""
    until = timezone.now() + LEASE
    rows = Delivery.objects.filter(pk=row.pk, state=DeliveryState.DUE, next_at=row.next_at)
    if not rows.update(next_at=until, attempts=F("attempts") + 1):
        return False
    row.next_at, row.attempts = until, row.attempts + 1
    return True
