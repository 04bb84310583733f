"""An issuer's workshop: keys, and tokens of any shape, also those that no library would sign."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://login.example.com/tenant"
AUDIENCE = "https://postern.example.com"
NOW = 1_800_000_000.0


def b64(data: bytes | str) -> str:
    data = data.encode() if isinstance(data, str) else data
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@cache
def private(name: str) -> Any:
    """A key that lives as long as the tests: rsa…, p256…, p384…, ed…, small…"""
    if name.startswith("small"):
        return rsa.generate_private_key(public_exponent=65537, key_size=1024)
    if name.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if name.startswith("ed"):
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(ec.SECP384R1() if name.startswith("p384") else ec.SECP256R1())


def public_jwk(name: str, **more: Any) -> dict[str, Any]:
    """The key as an issuer publishes it, under its own name as `kid`."""
    key = private(name).public_key()
    kind: Any = {"r": RSAAlgorithm, "s": RSAAlgorithm, "e": OKPAlgorithm}.get(name[0], ECAlgorithm)
    made: dict[str, Any] = kind.to_jwk(key, as_dict=True)
    made.pop("key_ops", None)
    return {name: value for name, value in ({**made, "kid": name, "use": "sig"} | more).items() if value}


def key_set(*keys: str | Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": [public_jwk(key) if isinstance(key, str) else key for key in keys]}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """An access token's claims, good at `NOW`; a change to None takes one out."""
    made = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "00u1alice",
        "client_id": "desk",
        "scope": "call",
        "iat": int(NOW) - 10,
        "exp": int(NOW) + 600,
        "jti": "1",
        "name": "Alice Example",
        "groups": ["staff"],
    }
    return {name: value for name, value in (made | changes).items() if value is not None}


def header(alg: str = "RS256", kid: str | None = "rsa1", **changes: Any) -> dict[str, Any]:
    made = {"alg": alg, "kid": kid, "typ": "at+jwt"} | changes
    return {name: value for name, value in made.items() if value is not None}


def sign(head: Mapping[str, Any] | str | bytes, body: Mapping[str, Any] | str | bytes, key: str) -> str:
    """A token with this header and body, whatever they are, truly signed by this key."""
    text = f"{b64(_raw(head))}.{b64(_raw(body))}"
    algorithm = head.get("alg", "RS256") if isinstance(head, Mapping) else "RS256"
    return f"{text}.{b64(signature(text.encode(), key, str(algorithm)))}"


def signature(message: bytes, key: str, algorithm: str = "RS256") -> bytes:
    jws = jwt.PyJWS()
    fit = {"r": "RS256", "s": "RS256", "e": "EdDSA"}.get(key[0], "ES384" if key[:4] == "p384" else "ES256")
    fits = algorithm[:2] == fit[:2] or (fit == "RS256" and algorithm[:2] == "PS")
    return jws.get_algorithm_by_name(algorithm if fits else fit).sign(message, private(key))


def access_token(key: str = "rsa1", alg: str = "RS256", **changes: Any) -> str:
    """A good token of now, by the real clock."""
    now = time.time()
    made = claims(iat=int(now) - 10, exp=int(now) + 600)
    return sign(header(alg, key), {k: v for k, v in (made | changes).items() if v is not None}, key)


def _raw(part: Mapping[str, Any] | str | bytes) -> bytes:
    if isinstance(part, Mapping):
        return json.dumps(part, separators=(",", ":")).encode()
    return part.encode() if isinstance(part, str) else part
