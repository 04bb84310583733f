"""The sweep that makes checkpoints and tells them to every anchor, each in order and none twice.

An anchor that fails keeps nobody waiting: it is tried again after a while and then gets all that it missed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

from audit.checkpoints import checkpoint_make, signed_of
from audit.events import event
from audit.keys import KeyDirectory
from audit.models import Anchor, Checkpoint
from gateway.anchoring.naming import AnchorFailed, Contradicted
from gateway.anchoring.places import Place, place_of

log = logging.getLogger(__name__)

AGAIN: Final = timedelta(seconds=25)
"""After a failure; the sweep comes twice a minute."""

BATCH: Final = 200
"""Checkpoints that one anchor is told in one sweep."""


def sweep() -> None:
    """Once: make one, and tell what is not told yet."""
    checkpoint_make(KeyDirectory(settings.AUDIT_KEY_DIR))
    for place in places():
        tell(place)


def places() -> Sequence[Place]:
    return [place_of(said) for said in settings.AUDIT_ANCHORS]


def tell(place: Place) -> int:
    """Tell one anchor what it does not have; returns how many checkpoints that were."""
    anchor, _ = Anchor.objects.get_or_create(name=place.name[:255])
    now, told = timezone.now(), 0
    if anchor.error and anchor.tried_at is not None and now - anchor.tried_at < AGAIN:
        return 0
    try:
        _check(place, anchor)
        for row in Checkpoint.objects.filter(number__gt=anchor.number).order_by("number")[:BATCH]:
            place.tell((row.epoch, row.number), signed_of(row).line())
            told += 1
            later = Anchor.objects.filter(pk=anchor.pk, number__lt=row.number)
            later.update(number=row.number, told_at=timezone.now())
        error = ""
    except AnchorFailed as failed:
        error = str(failed)
        _failed(anchor, failed)
    Anchor.objects.filter(pk=anchor.pk).update(tried_at=timezone.now(), error=error[:200])
    return told


def _check(place: Place, anchor: Anchor) -> None:
    """An anchor that knows more than the store: an older one was brought back, and nobody has said so.

    Or its row only says so, which kept it from being told anything: that is on record, and next time it gets
    what it lacks.
    """
    last = Checkpoint.objects.order_by("-number").first()
    highest = place.highest()
    if last is not None and highest > (last.epoch, last.number):
        raise Contradicted(f"has checkpoint {highest[1]}, the store ends with {last.number}")
    if last is not None and anchor.number > last.number:
        Anchor.objects.filter(pk=anchor.pk).update(number=highest[1])
        raise Contradicted(f"was said to have checkpoint {anchor.number}, the store ends with {last.number}")


def _failed(anchor: Anchor, failed: AnchorFailed) -> None:
    """A contradiction is an event, once: somebody has to look at it."""
    log.error("the anchor %s %s", anchor.name, failed)
    if isinstance(failed, Contradicted) and anchor.error != str(failed):
        event("record.contradicted", about=f"anchor {anchor.name}", detail={"problem": str(failed)})
