"""Sealing to a public key: whoever seals cannot open. Pure: keys come from the caller.

X25519 with a key pair made for each original, HKDF-SHA256, AES-256-GCM. Sealed = version byte, 8 bytes that
name the recipient's key, the pair's public half, and then

    version 1   ciphertext with tag
    version 2   pieces, each a length of 4 bytes and ciphertext with tag: what was sealed while it came

A piece's nonce is the derived one XOR (its place × 2, plus 1 for the last), so that none is missing, moved or
repeated unseen. The associated data binds an original to its call and to which payload of the call it is. The
recorder seals it once more as it seals payloads: that binds it to its entry's sequence and kind, and lets it
go with the call's key.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from hashlib import sha256
from typing import Final, final
from uuid import UUID

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from audit.crypto import SealError

REQUEST: Final = "request"
RESPONSE: Final = "response"
KEY_BYTES: Final = 32
PIECE: Final = 64 * 1024
"""Bytes that wait in clear while an original comes; then they are compressed and sealed."""

_WHOLE, _PIECES = b"\x01", b"\x02"  # versions
_NAME, _PUBLIC, _NONCE, _TAG, _LENGTH = 8, 32, 12, 16, 4
_HEAD: Final = 1 + _NAME + _PUBLIC
_RAW, _ZSTD = b"\x00", b"\x01"
_WORTH_COMPRESSING: Final = 1024  # bytes
_LARGEST: Final = 1 << 28


@final
class PublicKey:
    """The recipient, as a gateway knows it."""

    def __init__(self, raw: bytes) -> None:
        """Raises ValueError for what is no key."""
        self._key = X25519PublicKey.from_public_bytes(raw)
        self.raw = raw
        self.name = key_name(raw)

    def __repr__(self) -> str:
        return f"PublicKey({self.name})"

    @classmethod
    def read(cls, text: str) -> PublicKey:
        """From base64, as `manage.py originals_key` prints it. Raises ValueError."""
        try:
            return cls(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            raise ValueError("not an X25519 public key in base64") from None

    def text(self) -> str:
        return base64.b64encode(self.raw).decode()

    def seal(self, call: UUID, of: str, plaintext: bytes) -> bytes:
        """`of`: which part of the call it is."""
        place = _place(call, of)
        public, key, nonce = self._agreed(place)
        sealed = AESGCM(key).encrypt(nonce, _packed(plaintext), place)
        return _WHOLE + bytes.fromhex(self.name) + public + sealed

    def sealing(self, call: UUID, of: str) -> Sealing:
        """The same for an original that comes bit by bit."""
        place = _place(call, of)
        public, key, nonce = self._agreed(place)
        return Sealing(_PIECES + bytes.fromhex(self.name) + public, AESGCM(key), nonce, place)

    def _agreed(self, place: bytes) -> tuple[bytes, bytes, bytes]:
        """A new pair's public half, and the key and nonce that it agrees on with the recipient."""
        ours = X25519PrivateKey.generate()
        public = ours.public_key().public_bytes_raw()
        return public, *_derived(ours.exchange(self._key), public, self.raw, place)


@final
class Sealing:
    """One original on its way in. No more than a piece of it waits in clear."""

    def __init__(self, head: bytes, cipher: AESGCM, nonce: bytes, place: bytes) -> None:
        self._sealed = bytearray(head)
        self._waits = bytearray()
        self._cipher, self._nonce, self._place = cipher, nonce, place
        self._pieces = 0

    def __repr__(self) -> str:
        return f"Sealing({self.held} bytes)"

    @property
    def held(self) -> int:
        """Bytes that it keeps in memory."""
        return len(self._sealed) + len(self._waits)

    def take(self, data: bytes) -> None:
        self._waits += data
        if len(self._waits) >= PIECE:
            self._seal(last=False)

    def end(self) -> bytes:
        """The whole, sealed. Nothing can be added any more."""
        self._seal(last=True)
        return bytes(self._sealed)

    def _seal(self, *, last: bool) -> None:
        nonce = _nonce(self._nonce, self._pieces, last=last)
        piece = self._cipher.encrypt(nonce, _packed(bytes(self._waits)), self._place)
        self._sealed += len(piece).to_bytes(_LENGTH, "big") + piece
        self._waits.clear()
        self._pieces += 1


def key_name(public: bytes) -> str:
    """How a key is told from others: 16 hex digits of the digest of its public half."""
    return sha256(public).hexdigest()[: _NAME * 2]


def sealed_to(sealed: bytes) -> str:
    """The name of the key that opens it. Raises SealError."""
    if sealed[:1] not in (_WHOLE, _PIECES) or len(sealed) < _HEAD + _TAG:
        raise SealError("not sealed by this version")
    return sealed[1 : 1 + _NAME].hex()


def opened(private: X25519PrivateKey, call: UUID, of: str, sealed: bytes) -> bytes:
    """What was sealed. Raises SealError."""
    mine = private.public_key().public_bytes_raw()
    if sealed_to(sealed) != key_name(mine):
        raise SealError("sealed to another key")
    public, ciphertext = sealed[1 + _NAME : _HEAD], sealed[_HEAD:]
    place = _place(call, of)
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(public))
        key, nonce = _derived(shared, public, mine, place)
        cipher = AESGCM(key)
        if sealed[:1] == _WHOLE:
            return _unpacked(cipher.decrypt(nonce, ciphertext, place))
        return b"".join(_pieces(cipher, nonce, ciphertext, place))
    except (InvalidTag, ValueError, zstandard.ZstdError):
        raise SealError("does not open: altered, or moved") from None


def _pieces(cipher: AESGCM, nonce: bytes, sealed: bytes, place: bytes) -> Iterator[bytes]:
    """Raises InvalidTag for what is not all of them in order."""
    at = number = 0
    while at < len(sealed):
        begins = at + _LENGTH
        at = begins + int.from_bytes(sealed[at:begins], "big")
        if at > len(sealed):
            raise InvalidTag
        mine = _nonce(nonce, number, last=at >= len(sealed))
        yield _unpacked(cipher.decrypt(mine, sealed[begins:at], place))
        number += 1
    if not number:
        raise InvalidTag


def _nonce(derived: bytes, number: int, *, last: bool) -> bytes:
    return (int.from_bytes(derived, "big") ^ (number * 2 + last)).to_bytes(_NONCE, "big")


def _place(call: UUID, of: str) -> bytes:
    return b"postern.original.v1" + call.bytes + of.encode()


def _derived(shared: bytes, public: bytes, recipient: bytes, place: bytes) -> tuple[bytes, bytes]:
    """Key and nonce: the pair is made for one original, so neither is ever used again."""
    made = HKDF(SHA256(), KEY_BYTES + _NONCE, salt=public + recipient, info=place).derive(shared)
    return made[:KEY_BYTES], made[KEY_BYTES:]


def _packed(plaintext: bytes) -> bytes:
    if len(plaintext) < _WORTH_COMPRESSING:
        return _RAW + plaintext
    return _ZSTD + zstandard.compress(plaintext, 1)


def _unpacked(packed: bytes) -> bytes:
    if packed[:1] != _ZSTD:
        return packed[1:]
    return zstandard.ZstdDecompressor().decompress(packed[1:], max_output_size=_LARGEST)
