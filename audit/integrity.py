"""What can be said of the record as a whole: how far it is stated, and who outside has been told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

from audit.checkpoint import key_id
from audit.checkpoints import signing_key
from audit.keys import KeyDirectory, KeysUnavailable
from audit.models import Anchor, Checkpoint, Sink, Store
from audit.sinks import behind, is_late

MOST: Final = 10_000
"""Entries that a sink is behind are counted so far."""

LATE: Final = timedelta(minutes=3)
"""A checkpoint is made twice a minute: by then something is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One anchor. `behind`: checkpoints that it has not been told."""

    name: str
    number: int
    at: datetime | None
    behind: int
    error: str
    trouble: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed:
    """One sink. `behind`: entries that it lacks, none where they are more than `MOST`."""

    name: str
    at: datetime | None  # when it last took something
    upto: datetime | None  # when the last entry was recorded that it has
    behind: int | None
    error: str
    trouble: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrity:
    """`key` is the public key in hexadecimal digits; empty where the keys are not there."""

    epoch: int
    last: Checkpoint | None
    late: bool
    key: str
    key_id: str
    anchors: Sequence[Told]
    sinks: Sequence[Fed]
    recent: Sequence[Checkpoint]

    @property
    def fine(self) -> bool:
        trouble = any(a.trouble for a in self.anchors) or any(s.trouble for s in self.sinks)
        return bool(self.last and self.anchors) and not self.late and not trouble


def integrity(*, recent: int = 20) -> Integrity:
    now = timezone.now()
    store = Store.objects.filter(pk=1).first()
    rows = list(Checkpoint.objects.order_by("-number")[:recent])
    last = rows[0] if rows else None
    key, name = _key()
    return Integrity(
        epoch=store.epoch if store else 0,
        last=last,
        late=last is None or now - last.at > LATE,
        key=key,
        key_id=name,
        anchors=[_told(anchor, last, now) for anchor in Anchor.objects.order_by("name")],
        sinks=[_fed(sink, now) for sink in Sink.objects.filter(active=True).order_by("name")],
        recent=rows,
    )


def _key() -> tuple[str, str]:
    try:
        key = signing_key(KeyDirectory(settings.AUDIT_KEY_DIR)).public_key()
    except KeysUnavailable:
        return "", ""
    return key.public_bytes_raw().hex(), key_id(key)


def _told(anchor: Anchor, last: Checkpoint | None, now: datetime) -> Told:
    behind = last.number - anchor.number if last else 0
    late = behind > 0 and (anchor.told_at is None or now - anchor.told_at > LATE)
    return Told(
        name=anchor.name,
        number=anchor.number,
        at=anchor.told_at,
        behind=max(behind, 0),
        error=anchor.error,
        trouble=bool(anchor.error) or late or behind < 0,  # nobody can have been told more than there is
    )


def _fed(sink: Sink, now: datetime) -> Fed:
    missing = behind(sink, most=MOST + 1)
    return Fed(
        name=sink.name,
        at=sink.told_at,
        upto=sink.upto,
        behind=missing if missing <= MOST else None,
        error=sink.error,
        trouble=bool(sink.error) or is_late(sink, now),
    )
