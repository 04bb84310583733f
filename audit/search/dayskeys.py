"""The keys of the index: each derives from the key of a day that wraps the keys of the day's calls.

So an index is found by whoever may read the day's payloads, and by nobody once the day's key is destroyed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from hashlib import sha256
from hmac import digest as hmac_digest
from pathlib import Path

from django.conf import settings

from audit.keynames import Period
from audit.keys import PAYLOAD, KeyDirectory, KeyMissing
from audit.reader import directory

_LABEL = b"postern.words.v1"


def key_of_day(when: datetime) -> bytes | None:
    """By which a call of that day is indexed: the key that wraps the call's own, made by whoever recorded it.
    None where it was destroyed: it stays so."""
    found = directory(Path(settings.AUDIT_KEY_DIR)).days(PAYLOAD, when.date())
    return derived(found[-1].key) if found else None


def keys_by_day() -> Mapping[date, Sequence[bytes]]:
    """All that there are: a day that is being re-keyed has two."""
    found: dict[date, list[bytes]] = {}
    for period, key in keys_of_days(directory(Path(settings.AUDIT_KEY_DIR))):
        found.setdefault(period.first, []).append(derived(key))
    return found


def keys_of_days(keys: KeyDirectory) -> Iterator[tuple[Period, bytes]]:
    """The keys that wrap those of a day's calls, but for days whose key is destroyed."""
    for name, period in keys.periods(PAYLOAD).items():
        if not period.of_month:
            try:
                yield period, keys.find(name)
            except KeyMissing:  # destroyed since the directory was listed
                continue


def derived(key: bytes) -> bytes:
    """The key of the words of a day, from that which wraps the keys of its calls."""
    return hmac_digest(key, _LABEL, sha256)
