"""Whether the anchors have been told the checkpoints that an export's proof leads to.

Whoever checks an export against an anchor asks that anchor. Anchors are told twice a minute, so an export
that is ready at once would be contradicted by one that nobody tampered with. It waits, not for ever: an
anchor that is away must not keep an auditor from the record, and the manifest says what it had.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from audit import ids
from audit.checkpoints import checkpoint_make
from audit.exporting import manifest
from audit.exporting.files import Place
from audit.exporting.proving import ATTEMPTS, Wanted, key_directory
from audit.models import Anchor, Checkpoint, Stream

PATIENCE: Final = timedelta(minutes=3)
PAUSE: Final = timedelta(seconds=5)
_ASKED: Final = timedelta(minutes=3)
"""An anchor that nobody has tried to tell for so long is not one any more."""


def stated(place: Place) -> int:
    """The number of the last checkpoint once each entry of an export is in one: what is in none is
    stated now.

    Raises `KeysUnavailable` and OSError.
    """
    with open(place.folder / manifest.ENTRIES, encoding="ascii") as lines:
        last = {stream: of[-1] for stream, of in Wanted.of(lines).sequences.items()}
    for _ in range(ATTEMPTS):
        so_far = dict(Stream.objects.filter(id__in=list(last)).values_list("id", "stated"))
        if all(so_far.get(stream, 0) >= sequence for stream, sequence in last.items()):
            break
        checkpoint_make(key_directory())
    return Checkpoint.objects.order_by("-number").values_list("number", flat=True).first() or 0


def lacking(number: int) -> list[str]:
    """The anchors in use that do not have this checkpoint."""
    rows = Anchor.objects.filter(tried_at__gte=ids.now() - _ASKED).order_by("name")
    return [anchor.name for anchor in rows if not _has(anchor, number)]


def too_long(since: str) -> bool:
    return ids.now() - datetime.fromisoformat(since) > PATIENCE


def told(number: int) -> list[dict[str, Any]]:
    """For the manifest: each anchor, the last checkpoint that it had been told when, and whether that is all
    that the proof needs."""
    return [
        {
            "name": anchor.name,
            "checkpoint": anchor.number,
            "told_at": anchor.told_at.isoformat() if anchor.told_at else None,
            "has_all": _has(anchor, number),
        }
        for anchor in Anchor.objects.order_by("name")
    ]


def _has(anchor: Anchor, number: int) -> bool:
    """One that contradicts the store may have another one of this number."""
    return anchor.number >= number and not anchor.error
