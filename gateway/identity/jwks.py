"""An issuer's public keys as it publishes them (RFC 7517). Pure.

A key that cannot be used here (a shared secret, an unknown curve, too short) is left out; a `kid` that two
signing keys carry names neither. Whatever a document says, a key is only ever used with algorithms of its own
type: that is what keeps a public RSA key from being taken for an HMAC secret.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from policies.engine import jsontext
from policies.engine.jsontext import Json, JsonError

MAX_KEYS: Final = 100
MAX_KID: Final = 255
RSA_BITS: Final = range(2048, 8192 + 1)
MAX_EXPONENT: Final = 1 << 32  # a larger one only makes verifying slow
RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
CURVES: Final[Mapping[str, frozenset[str]]] = {
    "P-256": frozenset({"ES256"}),
    "P-384": frozenset({"ES384"}),
    "P-521": frozenset({"ES512"}),
}
EDDSA: Final = frozenset({"EdDSA"})
EDWARDS: Final = frozenset({"Ed25519", "Ed448"})


class KeysUnreadable(ValueError):
    """The document is no key set, or holds no key that can be used."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key and what it may be used with."""

    kid: str
    algorithms: frozenset[str]
    published: Mapping[str, Json] = field(repr=False)
    public: Any = field(repr=False, compare=False)

    def signed(self, algorithm: str, message: bytes, signature: bytes) -> bool:
        """Whether this key made the signature with this algorithm."""
        if algorithm not in self.algorithms:
            return False
        return _JWS.get_algorithm_by_name(algorithm).verify(message, self.public, signature)


_JWS: Final = jwt.PyJWS()


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one issuer at one time."""

    keys: Mapping[str, Key]  # by kid
    doubled: frozenset[str] = frozenset()  # kids that two keys carry

    def with_known(self, before: KeySet | None) -> KeySet:
        """The same set, with the very objects of `before` for keys that have not changed: whoever holds one
        can tell by identity whether it still counts."""
        if before is None:
            return self
        kept = {
            kid: old if (old := before.keys.get(kid)) is not None and old.published == key.published else key
            for kid, key in self.keys.items()
        }
        return KeySet(kept, self.doubled)


def read_keys(document: bytes) -> KeySet:
    """The usable signing keys of a JWK set; raises `KeysUnreadable`."""
    entries = _entries(document)
    kids = Counter(kid for each in entries if isinstance(kid := each.get("kid"), str))
    doubled = frozenset(kid for kid, count in kids.items() if count > 1)
    keys = {key.kid: key for each in entries if (key := _key(each)) is not None and key.kid not in doubled}
    if not keys and not doubled:
        raise KeysUnreadable("it holds no key that can be used")
    return KeySet(keys, doubled)


def _entries(document: bytes) -> list[dict[str, Json]]:
    """What the set holds, without the keys that are for encryption."""
    try:
        tree = jsontext.loads(document, max_depth=5)
    except JsonError as error:
        raise KeysUnreadable(error.code) from None
    keys = tree.get("keys") if isinstance(tree, dict) else None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise KeysUnreadable("it is no key set")
    return [each for each in keys if isinstance(each, dict) and each.get("use") != "enc"]


def _key(published: dict[str, Json]) -> Key | None:
    kid = published.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID or "d" in published:
        return None  # a private key that was published is nobody's any more
    if published.get("use", "sig") != "sig" or not _may_verify(published.get("key_ops")):
        return None
    try:
        algorithms, public = _public(published)
    except (jwt.InvalidKeyError, ValueError, TypeError, KeyError):
        return None
    if "alg" in published:
        algorithms &= {published["alg"]} if isinstance(published["alg"], str) else set()
    return Key(kid, algorithms, published, public) if algorithms else None


def _may_verify(operations: Json) -> bool:
    return operations is None or (isinstance(operations, list) and "verify" in operations)


def _public(published: dict[str, Any]) -> tuple[frozenset[str], Any]:
    """What a key may be used with, and the key; nothing for what is not known here."""
    kind, curve = published.get("kty"), str(published.get("crv"))
    if kind == "RSA":
        key = RSAAlgorithm.from_jwk(published)
        numbers = key.public_numbers()  # type: ignore[union-attr]  # public: no `d`
        usable = key.key_size in RSA_BITS and numbers.e < MAX_EXPONENT
        return (RSA if usable else frozenset()), key
    if kind == "EC" and curve in CURVES:
        return CURVES[curve], ECAlgorithm.from_jwk(published)
    if kind == "OKP" and curve in EDWARDS:
        return EDDSA, OKPAlgorithm.from_jwk(published)
    return frozenset(), None
