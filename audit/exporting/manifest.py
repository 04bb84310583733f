"""What an export says of itself, and the signature over that. Pure.

`manifest.json` names every other file with its SHA-256 and size. `manifest.sig` is an Ed25519 signature (RFC
8032) over the bytes `postern.export.v1`, a line break and the manifest's bytes, by the key that signs the
checkpoints: no checkpoint begins like that, so neither passes for the other.

    ManifestError (ValueError)   not a manifest, or of a version that this program does not know
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.checkpoint import key_id

VERSION: Final = 1
NAME: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
ENTRIES: Final = "entries.jsonl"
PROOF: Final = "proof.jsonl"
CHECKPOINTS: Final = "checkpoints.jsonl"
README: Final = "README.txt"
_TAG: Final = b"postern.export.v1\n"


class ManifestError(ValueError):
    """Not a manifest, or of a version that this program does not know."""


def written(said: Mapping[str, Any]) -> bytes:
    """The manifest's bytes."""
    whole = {"format": "postern.export", "version": VERSION, **said}
    return json.dumps(whole, indent=2).encode() + b"\n"


def read(data: bytes) -> dict[str, Any]:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        raise ManifestError("manifest.json is no JSON") from None
    if not isinstance(said, dict) or said.get("format") != "postern.export":
        raise ManifestError("manifest.json is not of an export")
    if said.get("version") != VERSION:
        raise ManifestError(f"this export is of version {said.get('version')}, and {VERSION} is known here")
    return said


def signed(data: bytes, key: Ed25519PrivateKey) -> bytes:
    """The bytes of `manifest.sig`."""
    return _line(key_id(key.public_key()), key.sign(_TAG + data))


def wrong(data: bytes, signature: bytes, key: Ed25519PublicKey) -> str:
    """Why the signature is not good; empty when it is."""
    try:
        found = bytes.fromhex(json.loads(signature)["signature"])
        key.verify(found, _TAG + data)
    except (ValueError, KeyError, TypeError, RecursionError):
        return "the signature cannot be read"
    except InvalidSignature:
        return "the manifest was changed, or is not signed by this key"
    return "" if signature == _line(key_id(key), found) else "the signature is not in its one form"


def _line(key: str, signature: bytes) -> bytes:
    return json.dumps({"key": key, "signature": signature.hex()}).encode() + b"\n"
