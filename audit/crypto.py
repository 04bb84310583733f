"""Sealing of recorded payloads: zstd, then AES-256-GCM under the call's key. Pure: keys come from the caller.

Sealed = version byte, 12 random bytes, ciphertext with tag. The associated data binds a payload to its call,
its entry's place in the stream and its kind: moved anywhere else, it does not open.

    SealError (ValueError)   wrong key, altered bytes or another place
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import final

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
_VERSION = b"\x01"
_NONCE = 12
_LENGTH = struct.Struct(">I")
_RAW, _ZSTD = b"\x00", b"\x01"
_WORTH_COMPRESSING = 1024  # bytes; below, compressing costs more time than the bytes it saves
_LEVEL = 1
_PIECE, _LONG = 2047, 1 << 15  # a long one is worth giving the interpreter away
_LARGEST = 1 << 28  # a sealed payload cannot unpack to more


Packable = bytes | bytearray | memoryview


class SealError(ValueError):
    """It does not open: wrong key, altered bytes, or not the place that it was sealed for."""


@final
@dataclass(frozen=True, slots=True)
class DayKey:
    """A key that wraps the calls' keys of one day, and blinds its indexes."""

    id: str
    key: bytes
    generation: int

    def __repr__(self) -> str:
        return f"DayKey({self.id})"


@final
class Noise:
    """Random bytes, fetched from the system in larger pieces. For one thread; a byte is given out once."""

    def __init__(self) -> None:
        self._pool = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        start = self._at
        if start + count > len(self._pool):
            self._pool, start = os.urandom(max(4096, count)), 0
        self._at = start + count
        return self._pool[start : self._at]


@final
class Packer:
    """Marks and data as one compressed plaintext. Keeps its compressor, so one per thread."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=False)

    def pack(self, payloads: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """(marks, data) of any number of payloads, packed."""
        plain = [_LENGTH.pack(len(marks)) + marks + data for marks, data in payloads]
        large: list[Packable] = [one for one in plain if len(one) >= _WORTH_COMPRESSING]
        if not large:
            return [_RAW + one for one in plain]
        frames = iter(self._compressor.multi_compress_to_buffer(large))
        return [
            _ZSTD + next(frames).tobytes() if len(one) >= _WORTH_COMPRESSING else _RAW + one for one in plain
        ]


def unpack(packed: bytes) -> tuple[bytes, bytes]:
    """(marks, data) of what a Packer packed."""
    plain = packed[1:]
    if packed[:1] == _ZSTD:
        plain = zstandard.ZstdDecompressor().decompress(plain, max_output_size=_LARGEST)
    (length,) = _LENGTH.unpack_from(plain)
    return plain[4 : 4 + length], plain[4 + length :]


def payload_place(call: bytes, sequence: int, kind: str) -> bytes:
    """Associated data of a payload; `call` is the call id's 16 bytes."""
    return b"postern.payload.v1" + call + sequence.to_bytes(8, "big") + kind.encode()


def key_place(call: bytes, wrapped_by: str) -> bytes:
    """Associated data of a wrapped call key; `wrapped_by` is the name of the key around it."""
    return b"postern.callkey.v1" + call + wrapped_by.encode()


def seal(cipher: AESGCM, plaintext: bytes, place: bytes, noise: Noise) -> bytes:
    nonce = noise.take(_NONCE)
    return _VERSION + nonce + cipher.encrypt(nonce, plaintext, place)


def unseal(cipher: AESGCM, sealed: bytes, place: bytes) -> bytes:
    if sealed[:1] != _VERSION or len(sealed) < 1 + _NONCE + 16:
        raise SealError("not sealed by this version")
    try:
        return cipher.decrypt(sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], place)
    except InvalidTag:
        raise SealError("does not open: wrong key, altered, or moved") from None


def digest_of(sealed: bytes) -> bytes:
    """SHA-256. In pieces, because hashlib gives the interpreter away for 2 KiB and more."""
    if len(sealed) > _LONG:
        return sha256(sealed).digest()
    hashed = sha256()
    for start in range(0, len(sealed), _PIECE):
        hashed.update(sealed[start : start + _PIECE])
    return hashed.digest()
