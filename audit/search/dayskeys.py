"""The keys of the index: each derives from the key of a day that wraps the keys of the day's calls.

So an index is found by whoever may read the day's payloads, and by nobody once the day's key is destroyed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from hashlib import sha256
from hmac import digest as hmac_digest
from pathlib import Path

from django.conf import settings

from audit.keys import PAYLOAD, KeyMissing
from audit.reader import directory

_LABEL = b"postern.words.v1"


def key_of_day(when: datetime) -> bytes | None:
    """By which a call of that day is indexed: the key that wraps the call's own, made by whoever recorded it.
    None where it was destroyed: it stays so."""
    found = directory(Path(settings.AUDIT_KEY_DIR)).days(PAYLOAD, when.date())
    return derived(found[-1].key) if found else None


def keys_by_day() -> Mapping[date, Sequence[bytes]]:
    """All that there are: a day that is being re-keyed has two."""
    keys = directory(Path(settings.AUDIT_KEY_DIR))
    found: dict[date, list[bytes]] = {}
    for name, period in keys.periods(PAYLOAD).items():
        if not period.of_month:
            try:
                found.setdefault(period.first, []).append(derived(keys.find(name)))
            except KeyMissing:  # destroyed since the directory was listed
                continue
    return found


def derived(key: bytes) -> bytes:
    """The key of the words of a day, from that which wraps the keys of its calls."""
    return hmac_digest(key, _LABEL, sha256)
