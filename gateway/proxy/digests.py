"""Keyed digests of what a call holds: the same value is known again, and nobody can read it. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from audit.hybrid import PublicKey

SLICE: Final = 2046
"""Bytes that are hashed at a time: from 2 KB on, the library lets another thread run, which costs more."""


@dataclass(frozen=True, slots=True)
class DigestKeys:
    """Secret keys of the keyed digests: binding a request, tracing a value, tying a session together."""

    request: bytes
    fingerprint: bytes
    session: bytes
    originals: PublicKey | None = None  # what originals are sealed to, where there is one

    def __repr__(self) -> str:
        return "DigestKeys(***)"


def keyed(key: bytes, *parts: bytes) -> bytes:
    """Keyed BLAKE2b (RFC 7693) of length-prefixed parts: 32 bytes that only who has the key can make."""
    framed = b"".join([len(part).to_bytes(8, "big") + part for part in parts])
    digest = hashlib.blake2b(framed[:SLICE], digest_size=32, key=key)
    for at in range(SLICE, len(framed), SLICE):
        digest.update(framed[at : at + SLICE])
    return digest.digest()


def sent_digest(outgoing: bytes) -> bytes:
    """SHA-256 of the bytes that go upstream."""
    return hashlib.sha256(outgoing).digest()
