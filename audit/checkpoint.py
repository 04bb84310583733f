"""A checkpoint: a signed statement of which entries there are. Pure; needs nothing of this program.

The signed text is one line of JSON with sorted keys and no spaces:

    {"at":…,"epoch":1,"number":7,"previous":"…","root":"…","runs":[["<stream>",1,40,"…"],…],"size":40,
     "store":"…","v":1}

`runs` are the entries that are new since the checkpoint before: stream, first and last sequence, digest of
the last. `root` is the Merkle tree root (`audit.merkle`) over the digests of all those entries, run by run,
in order. `previous` is the SHA-256 of the signed text before, 64 zeros for the first. `at` is in microseconds
since 1970. The signature is Ed25519 (RFC 8032) over the text's bytes.

    CheckpointError (ValueError)   it cannot be read, or is not signed by this key
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NamedTuple, final
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

VERSION: Final = 1
NONE_BEFORE: Final = bytes(32)


class CheckpointError(ValueError):
    """It cannot be read, or is not signed by this key."""


class Run(NamedTuple):
    """New entries of one stream."""

    stream: UUID
    first: int
    last: int
    digest: bytes  # of the last


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What is stated. `store`: which store this is of; another one has another keys' check."""

    store: bytes
    epoch: int
    number: int
    at: int
    previous: bytes
    root: bytes
    size: int
    runs: tuple[Run, ...]

    def text(self) -> bytes:
        """What is signed."""
        said = {
            "v": VERSION,
            "store": self.store.hex(),
            "epoch": self.epoch,
            "number": self.number,
            "at": self.at,
            "previous": self.previous.hex(),
            "root": self.root.hex(),
            "size": self.size,
            "runs": [[str(run.stream), run.first, run.last, run.digest.hex()] for run in self.runs],
        }
        return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


@final
@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint as it was written down: the text that was signed, and the signature."""

    text: bytes
    key: str  # id of the public key
    signature: bytes

    @property
    def digest(self) -> bytes:
        return sha256(self.text).digest()

    def line(self) -> bytes:
        """As anchors keep it: one line."""
        signed = {"checkpoint": self.text.decode(), "key": self.key, "signature": self.signature.hex()}
        return json.dumps(signed, sort_keys=True, separators=(",", ":")).encode() + b"\n"

    def read(self) -> Checkpoint:
        return parse(self.text)

    def check(self, key: Ed25519PublicKey) -> None:
        """Raise `CheckpointError` unless this key signed it."""
        try:
            key.verify(self.signature, self.text)
        except InvalidSignature:
            raise CheckpointError("the signature is not of this key") from None


def signed(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> Signed:
    text = checkpoint.text()
    return Signed(text, key_id(key.public_key()), key.sign(text))


def key_id(key: Ed25519PublicKey) -> str:
    """Sixteen hexadecimal digits that tell one key from another."""
    return sha256(key.public_bytes_raw()).hexdigest()[:16]


def parse_line(line: bytes) -> Signed:
    """The opposite of `Signed.line`."""
    try:
        said = json.loads(line)
        return Signed(said["checkpoint"].encode(), str(said["key"]), bytes.fromhex(said["signature"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CheckpointError("no signed checkpoint") from None


def parse(text: bytes) -> Checkpoint:
    """The opposite of `Checkpoint.text`: what is written in another way is not accepted."""
    try:
        found = _checkpoint(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise CheckpointError("no checkpoint") from None
    if found.text() != text:
        raise CheckpointError("not in the one form that is signed")
    return found


def _checkpoint(said: Any) -> Checkpoint:
    if said["v"] != VERSION:
        raise ValueError
    return Checkpoint(
        store=bytes.fromhex(said["store"]),
        epoch=int(said["epoch"]),
        number=int(said["number"]),
        at=int(said["at"]),
        previous=bytes.fromhex(said["previous"]),
        root=bytes.fromhex(said["root"]),
        size=int(said["size"]),
        runs=tuple(
            Run(UUID(stream), int(first), int(last), bytes.fromhex(digest))
            for stream, first, last, digest in said["runs"]
        ),
    )
