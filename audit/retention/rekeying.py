"""A new key for a day of which something was erased: what remains moves to it, then the old one is destroyed.

After that no copy of the database from before opens the erased calls, or finds them. Nor does it open the
others of that day: backups from then on do. Each step can be repeated: a row says which generation it is of,
and the old keys go when everything that they open has been moved. A store that was brought back from before
knows an older generation than the directory holds; it destroys none that it does not know of.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.db import transaction

from audit import crypto, indexing
from audit.blinding import blind, unblind
from audit.crypto import DayKey
from audit.events import event
from audit.keynames import day_name
from audit.keys import PAYLOAD, KeyDirectory, KeysUnavailable
from audit.models import CallKey, EvidenceDay, Fingerprint
from audit.retention import days, emptying
from audit.retention.removing import tidy
from audit.search.rekeying import words_move

log = logging.getLogger(__name__)

AT_ONCE: Final = 200
TURN: Final = 20.0


def sweep(keys: KeyDirectory) -> list[date]:
    """Give new keys to the days that need them and are over, for a while. Returns those that are done."""
    ends = time.monotonic() + TURN
    done: list[date] = []
    waiting = EvidenceDay.objects.filter(rekey_asked_at__isnull=False).order_by("day")
    for row in waiting:
        if not days.over(row.day):
            continue
        try:
            finished = _rekey(row.day, keys, ends)
        except KeysUnavailable as error:
            log.warning("rekeying %s: %s", row.day, error)
            return done
        if not finished:
            return done
        done.append(row.day)
    if done:
        tidy()
    return done


def _rekey(day: date, keys: KeyDirectory, ends: float) -> bool:
    """False: the time is up, go on later."""
    row = EvidenceDay.objects.get(day=day)
    asked, there = row.rekey_asked_at, keys.days(PAYLOAD, day)
    new = keys.generation(PAYLOAD, day, _target(day, there))
    old = [key for key in there if key.generation < new.generation]
    indexing.index_pending()
    for moved in (_rewrap(day, keys, old, new), _reblind(Fingerprint, day, old, new)):
        for _ in moved:
            if time.monotonic() >= ends:
                return False
    _old_keys_go(day, keys, [key for key in old if key.generation <= row.generation], new)
    _done(day, asked, new)
    return True


def _target(day: date, there: Sequence[DayKey]) -> int:
    """The generation that the day moves to: of several workers the first one says."""
    following = max((key.generation for key in there), default=0) + 1
    EvidenceDay.objects.filter(day=day, rekey_to=None).update(rekey_to=following)
    return EvidenceDay.objects.get(day=day).rekey_to or following


def _rewrap(day: date, keys: KeyDirectory, old: Sequence[DayKey], new: DayKey) -> Iterator[int]:
    """The remaining calls' keys and words, a batch at a time. A key that does not open stays as it is: it
    never will. A row says by which key it is wrapped, and so whether its words are moved as well."""
    noise, around, last = crypto.Noise(), AESGCM(new.key), None
    while rows := _keys_after(day, new, last):
        last = rows[-1].id
        move = words_move([row.id for row in rows], [key.key for key in old], new.key)
        with transaction.atomic():
            move()
            for row in rows:
                if (key := _key_of(row, keys)) is not None:
                    place = crypto.key_place(row.id.bytes, new.id)
                    mine = CallKey.objects.filter(
                        id=row.id, started_at=row.started_at, wrapped_by=row.wrapped_by
                    )
                    mine.update(wrapped_by=new.id, wrapped=crypto.seal(around, key, place, noise))
        yield len(rows)


def _keys_after(day: date, new: DayKey, last: UUID | None) -> list[CallKey]:
    rows = days.key_rows(day, day + timedelta(days=1)).exclude(wrapped_by=new.id)
    return list(days.in_order(rows if last is None else rows.filter(id__gt=last))[:AT_ONCE])


def _key_of(row: CallKey, keys: KeyDirectory) -> bytes | None:
    try:
        around = AESGCM(keys.find(row.wrapped_by))
        return crypto.unseal(around, bytes(row.wrapped), crypto.key_place(row.id.bytes, row.wrapped_by))
    except (KeysUnavailable, crypto.SealError):
        return None


def _reblind(model: type[Any], day: date, old: Sequence[DayKey], new: DayKey) -> Iterator[int]:
    """What an index still holds of the day; generation 0 was written in clear before days had keys."""
    by_generation = {key.generation: key.key for key in old}
    rows = model._default_manager.filter(days.on(day), generation__in=[0, *by_generation])
    while found := list(rows.order_by("id")[:AT_ONCE]):
        with transaction.atomic():
            for generation in {row.generation for row in found}:
                same = [row for row in found if row.generation == generation]
                _move(model, same, by_generation.get(generation), new)
        yield len(found)


def _move(model: type[Any], rows: list[Any], old: bytes | None, new: DayKey) -> None:
    digests = [bytes(row.digest) for row in rows]
    plain = digests if old is None else unblind(old, digests)
    for row, block in zip(rows, blind(new.key, plain), strict=True):
        mine = model._default_manager.filter(pk=row.pk, started_at=row.started_at, generation=row.generation)
        mine.update(digest=block, generation=new.generation)


def _old_keys_go(day: date, keys: KeyDirectory, old: Sequence[DayKey], new: DayKey) -> None:
    names = [day_name(PAYLOAD, day, key.generation) for key in old]
    if names:
        emptying.destroy(names, keys, day=day, why=f"moved to {new.id}")
    emptying.month_key_goes(day, keys)


def _done(day: date, asked: Any, new: DayKey) -> None:
    """Something that was erased meanwhile asks again: its key may have been moved already."""
    with transaction.atomic():
        mine = EvidenceDay.objects.filter(day=day, rekey_to=new.generation)
        if mine.update(rekey_to=None, generation=new.generation):
            EvidenceDay.objects.filter(day=day, rekey_asked_at=asked).update(rekey_asked_at=None)
            event("evidence.rekeyed", detail={"day": day.isoformat(), "key": new.id})
