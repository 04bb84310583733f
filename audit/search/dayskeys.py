"""The keys of the index: one for each day, derived from that day's key in the key directory."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from hmac import digest as hmac_digest
from pathlib import Path
from typing import Final

from django.conf import settings

from audit import ids
from audit.keys import KeyMissing
from audit.reader import directory

_LABEL = b"postern.terms.v1"
NEW: Final = timedelta(days=2)


def key_of_day(when: datetime) -> bytes | None:
    """Made if need be for a day that is not long over. None where the key was destroyed: it stays so."""
    if ids.now() - when < NEW:
        return _derived(directory(Path(settings.AUDIT_KEY_DIR)).month("terms", when).key)
    return key_if_any(when)


def key_if_any(when: datetime) -> bytes | None:
    """None where nothing was recorded on that day, or its key was destroyed."""
    try:
        return _derived(directory(Path(settings.AUDIT_KEY_DIR)).find(f"terms-{when:%Y-%m}"))
    except KeyMissing:
        return None


@lru_cache(maxsize=512)
def _derived(key: bytes) -> bytes:
    return hmac_digest(key, _LABEL, sha256)
