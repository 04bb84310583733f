"""How long it is kept what became of a message. Nothing is told about an approval that is older than that:
whether it was told already is not known any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from audit import ids
from gateway.models import Delivery, DeliveryState

KEPT: Final = timedelta(days=30)
TOLD: Final = KEPT - timedelta(days=1)
"""Age of an approval that something is still told about; shorter, since clocks of processes differ."""

BATCH: Final = 1_000
BATCHES: Final = 50
"""Rows of one statement, and statements of one sweep; the next one takes the rest."""


def deliveries_prune() -> int:
    """Forget the messages that are over and older than that, the oldest first; returns how many."""
    forgotten = 0
    for _ in range(BATCHES):
        rows = _prune()
        forgotten += rows
        if rows < BATCH:
            break
    return forgotten


def _prune() -> int:
    """Ids sort by time and are indexed; one that was sent again by hand was queued later than its id says."""
    before = ids.now() - KEPT
    oldest = ids.uuid7(ids.microseconds(before) // 1000, 0)
    over = Delivery.objects.exclude(state=DeliveryState.DUE).filter(pk__lt=oldest, queued_at__lt=before)
    keys = list(over.order_by("pk").values_list("pk", flat=True)[:BATCH])
    return over.filter(pk__in=keys).delete()[0] if keys else 0
