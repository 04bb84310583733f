"""The chain of entries: what exactly is digested. Pure; the offline verifier needs nothing else.

digest = SHA-256(tag, stream, sequence, previous, id, call, started_at, at, kind, payload digest, meta), every
part but the last of fixed width, so that no two entries share their bytes. Times are microseconds since 1970.
The chain runs over the digest of the sealed payload: a destroyed key breaks no chain.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import final
from uuid import UUID

KINDS = ("admission", "segment", "close", "event", "heartbeat", "view", "release")
GENESIS = bytes(32)  # `previous` of a stream's first entry
NO_CALL = bytes(16)
_TAG = b"postern.entry.v1"
_CODES = {kind: code for code, kind in enumerate(KINDS, start=1)}
_HEADER = struct.Struct(">16s16sQ32sQ16sqqBB32s")
SEQUENCE_BITS = 40


@final
@dataclass(frozen=True, slots=True)
class Link:
    """One entry, as a verifier gets it."""

    stream: UUID
    sequence: int
    previous: bytes
    digest: bytes
    id: int
    call: UUID | None
    started_at: int
    at: int
    kind: str
    payload_digest: bytes
    meta: bytes

    def expected(self) -> bytes:
        """The digest that the other fields give."""
        call = self.call.bytes if self.call else NO_CALL
        return digest(
            self.stream.bytes,
            self.sequence,
            self.previous,
            self.id,
            call,
            self.started_at,
            self.at,
            self.kind,
            self.payload_digest,
            self.meta,
        )

    def fits(self) -> bool:
        """Whether the entry's own digest is the one that its fields give."""
        try:
            return self.expected() == self.digest
        except (KeyError, ValueError, OverflowError, struct.error):
            return False  # a value that no entry can have


def entry_id(stream_number: int, sequence: int) -> int:
    """An entry's id says where it stands: its stream's number, then its sequence."""
    return (stream_number << SEQUENCE_BITS) | sequence


def digest(
    stream: bytes,
    sequence: int,
    previous: bytes,
    entry: int,
    call: bytes,
    started_at: int,
    at: int,
    kind: str,
    payload_digest: bytes,
    meta: bytes,
) -> bytes:
    """Positional, as it is called for every entry. `payload_digest` is 32 bytes or none."""
    header = _HEADER.pack(
        _TAG,
        stream,
        sequence,
        previous,
        entry,
        call,
        started_at,
        at,
        _CODES[kind],
        len(payload_digest),
        payload_digest,
    )
    return sha256(header + meta).digest()
