"""Seals upstream secrets with AES-256-GCM. Pure: keys come in as arguments.

The seal covers the credential, the version and the origin: a row copied to another credential, or an origin
changed behind the gateway's back, makes the secret unreadable instead of sending it elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.credentials.secret import Secret

NONCE_BYTES = 12


class SealError(Exception):
    """The secret cannot be opened: other origin, other row, changed bytes or an unknown master key."""


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
    """Keys by id; the first one seals, all of them open."""

    keys: Mapping[str, bytes] = field(repr=False)

    def seal(self, secret: Secret, place: Place) -> Sealed:
        key_id = next(iter(self.keys), None)
        if key_id is None:
            raise SealError("no master key is set")
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(self.keys[key_id]).encrypt(nonce, secret.reveal().encode(), place.aad())
        return Sealed(key_id, nonce + sealed)

    def unseal(self, sealed: Sealed, place: Place) -> Secret:
        key = self.keys.get(sealed.key_id)
        if key is None:
            raise SealError(f"master key {sealed.key_id} is not here")
        try:
            plain = AESGCM(key).decrypt(sealed.data[:NONCE_BYTES], sealed.data[NONCE_BYTES:], place.aad())
        except (InvalidTag, ValueError):
            raise SealError("the secret was sealed for another origin or row, or was changed") from None
        return Secret(plain.decode())
