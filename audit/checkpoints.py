"""Making checkpoints: a sweep that reads what is new in every stream, signs it and writes it down.

However many make one at the same moment, one is written: its number is the key of its row.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from audit import chain, checkpoint, ids
from audit.checkpoint import NONE_BEFORE, CheckpointError, Run, Signed
from audit.keys import KeyDirectory
from audit.merkle import Tree
from audit.models import Checkpoint, Entry, Instance, Store, Stream

KEY: Final = "checkpoints"
LOOK_BACK: Final = timedelta(hours=1)
"""An instance that was silent for so long before the last checkpoint had all its entries in it. Clocks
of hosts differ by less."""

AT_ONCE: Final = 5_000
"""Digests that are read at a time."""


def signing_key(keys: KeyDirectory) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(keys.lasting(KEY))


def checkpoint_make(keys: KeyDirectory) -> Checkpoint | None:
    """State what is new. None where somebody else has just done so, or nothing was ever recorded."""
    store = Store.objects.filter(pk=1).first()
    if store is None:
        return None
    last, now = Checkpoint.objects.order_by("-number").first(), ids.now()
    found, tree = [], Tree()
    for stream in _moving(last.at if last else None):
        if (run := _run(stream)) is not None:
            found.append((stream, run))
            for digest in _digests(stream, run):
                tree.add(digest)
    made = checkpoint.Checkpoint(
        store=bytes(store.key_check),
        epoch=store.epoch,
        number=last.number + 1 if last else 1,
        at=ids.microseconds(now),
        previous=bytes(last.digest) if last else NONE_BEFORE,
        root=tree.root(),
        size=tree.size,
        runs=tuple(run for _, run in found),
    )
    try:
        with transaction.atomic():
            row = _row(made, checkpoint.signed(made, signing_key(keys)), now)
            row.save(force_insert=True)
            for stream, run in found:
                Stream.objects.filter(pk=stream.pk).update(stated=run.last)
    except IntegrityError:
        return None
    return row


def signed_of(row: Checkpoint) -> Signed:
    return Signed(bytes(row.text), row.key, bytes(row.signature))


def row_fits(row: Checkpoint) -> bool:
    """Whether what pages show of a checkpoint, and the next one goes on from, is what was signed."""
    signed = signed_of(row)
    try:
        said = signed.read()
    except CheckpointError:
        return False
    shown = (row.number, row.epoch, row.size, ids.microseconds(row.at), bytes(row.digest))
    return shown == (said.number, said.epoch, said.size, said.at, signed.digest)


def _row(made: checkpoint.Checkpoint, signed: Signed, now: datetime) -> Checkpoint:
    return Checkpoint(
        number=made.number,
        epoch=made.epoch,
        at=now,
        size=made.size,
        text=signed.text,
        digest=signed.digest,
        key=signed.key,
        signature=signed.signature,
    )


def _moving(since: datetime | None) -> list[Stream]:
    """Streams that may have something new, in the order of their numbers."""
    streams = Stream.objects.order_by("number")
    if since is not None:
        alive = Instance.objects.filter(heartbeat_at__gte=since - LOOK_BACK).values("id")
        known = Q(sequence__gt=F("stated"))  # whatever its instance's row and clock say
        streams = streams.filter(Q(kind="events") | Q(instance_id__in=alive) | known)
    return list(streams)


def _run(stream: Stream) -> Run | None:
    """What of a stream no checkpoint has stated yet."""
    last = _entries(stream, stream.stated).order_by("-id").values_list("sequence", "digest").first()
    return Run(stream.id, stream.stated + 1, last[0], bytes(last[1])) if last else None


def _digests(stream: Stream, run: Run) -> Iterator[bytes]:
    """Page by page, so that no query stays open meanwhile. A gap is the chain's to show."""
    at = run.first - 1
    while at < run.last:
        rows = _entries(stream, at, run.last).order_by("id").values_list("sequence", "digest")
        page = list(rows[:AT_ONCE])
        if not page:
            return
        yield from (bytes(digest) for _, digest in page)
        at = page[-1][0]


def _entries(stream: Stream, after: int, last: int | None = None) -> QuerySet[Entry]:
    end = chain.entry_id(stream.number + 1, 0) if last is None else chain.entry_id(stream.number, last) + 1
    return Entry.objects.filter(id__gt=chain.entry_id(stream.number, after), id__lt=end)
