"""Blinding of index digests: what an index holds means nothing without the key of its day.

A word's or a value's digest is keyed already, but by a lasting key: whoever has that and an old backup could
still ask it where a value passed. So each digest is encrypted once more, as one AES-256 block, under a key
that derives from its day's key. The same digest of the same day is the same block, so equality still finds
it; without the day's key the block is noise, in every copy of the database. Pure: keys come from the caller.

    block  = AES-256(HMAC-SHA256(day key, "postern.blinding.v1"), digest)
    digest = 16 bytes, the first ones of a longer digest

One block is a permutation of its digest: ECB tells nothing beyond equality, which is an index's use.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

BLOCK: Final = 16
_LABEL: Final = b"postern.blinding.v1"


def blind(day_key: bytes, digests: Sequence[bytes]) -> list[bytes]:
    """What the index holds of these digests, which have 16 bytes each. One call for many."""
    return _cut(_cipher(day_key).encryptor().update(_whole(digests)))


def unblind(day_key: bytes, blocks: Sequence[bytes]) -> list[bytes]:
    """The opposite, for a day that gets another key."""
    return _cut(_cipher(day_key).decryptor().update(_whole(blocks)))


def _cipher(day_key: bytes) -> Cipher[ECB]:
    """Made anew each time: no copy of a key stays behind when its file is destroyed."""
    return Cipher(AES256(hmac_digest(day_key, _LABEL, sha256)), ECB())  # noqa: S305 (one block is no message)


def _whole(blocks: Sequence[bytes]) -> bytes:
    if any(len(block) != BLOCK for block in blocks):
        raise ValueError(f"a digest that is blinded has {BLOCK} bytes")
    return b"".join(blocks)


def _cut(joined: bytes) -> list[bytes]:
    return [joined[at : at + BLOCK] for at in range(0, len(joined), BLOCK)]
