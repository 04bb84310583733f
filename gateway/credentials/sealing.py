"""Seals upstream secrets with AES-256-GCM. Pure: keys come in as arguments.

A master key seals a secret itself, or somebody who never gives theirs away (`Wrapper`) wraps a data key for
each row, which lies before what it seals.

The seal covers the credential, the version and the origin: a row copied to another credential, or an origin
changed behind the gateway's back, makes the secret unreadable instead of sending it elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.credentials.secret import Secret

NONCE_BYTES = 12
LENGTH_BYTES = 2


class SealError(Exception):
    """The secret cannot be opened: other origin, other row, changed bytes or an unknown master key."""


class SealUnavailable(SealError):
    """Whoever wraps data keys does not answer now."""


class Wrapper(Protocol):
    """Keeps a master key elsewhere."""

    @property
    def key_id(self) -> str: ...

    def data_key(self) -> tuple[bytes, bytes]:
        """A new key of 32 bytes, and the same wrapped. Raises `SealUnavailable`."""

    def unwrap(self, wrapped: bytes) -> bytes:
        """Raises `SealError`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What a seal is bound to."""

    credential_id: UUID
    number: int
    origin: str

    def aad(self) -> bytes:
        return b"\0".join(
            (
                b"postern.credential.1",
                self.credential_id.bytes,
                self.number.to_bytes(8, "big"),
                self.origin.encode(),
            )
        )


@dataclass(frozen=True, slots=True)
class Sealed:
    """Nonce, ciphertext and tag, and the name of the key that opens them."""

    key_id: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """Keys by id. The wrapper seals, else the first one; all of them open."""

    keys: Mapping[str, bytes] = field(repr=False)
    wrapper: Wrapper | None = field(default=None, repr=False)

    @property
    def first(self) -> str:
        """The id of what seals; empty if there is none."""
        return self.wrapper.key_id if self.wrapper else next(iter(self.keys), "")

    def knows(self, key_id: str) -> bool:
        return key_id in self.keys or bool(self.wrapper and key_id == self.wrapper.key_id)

    def seal(self, secret: Secret, place: Place) -> Sealed:
        """Raises `SealError`."""
        if not self.first:
            raise SealError("no master key is set")
        if self.wrapper is None:
            return Sealed(self.first, _seal(self.keys[self.first], secret, place))
        key, wrapped = self.wrapper.data_key()
        length = len(wrapped).to_bytes(LENGTH_BYTES, "big")
        return Sealed(self.first, length + wrapped + _seal(key, secret, place))

    def unseal(self, sealed: Sealed, place: Place) -> Secret:
        """Raises `SealError`."""
        key, data = self.keys.get(sealed.key_id), sealed.data
        if key is None:
            key, data = self._unwrapped(sealed)
        try:
            plain = AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], place.aad())
        except (InvalidTag, ValueError):
            raise SealError("the secret was sealed for another origin or row, or was changed") from None
        return Secret(plain.decode())

    def _unwrapped(self, sealed: Sealed) -> tuple[bytes, bytes]:
        if self.wrapper is None or sealed.key_id != self.wrapper.key_id:
            raise SealError(f"master key {sealed.key_id} is not here")
        end = LENGTH_BYTES + int.from_bytes(sealed.data[:LENGTH_BYTES], "big")
        return self.wrapper.unwrap(sealed.data[LENGTH_BYTES:end]), sealed.data[end:]


def _seal(key: bytes, secret: Secret, place: Place) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, secret.reveal().encode(), place.aad())
