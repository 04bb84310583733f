"""Client certificates: a chain and its key in PEM, kept as one secret and loaded into TLS contexts."""

from __future__ import annotations

import re
import secrets
import ssl
import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from gateway.credentials.secret import Secret

LARGEST: Final = 32 * 1024
MOST: Final = 10
_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.S)

Key = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey


class CertificateError(ValueError):
    """It cannot be used; says why and quotes nothing."""


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """Whom a client certificate names, and when it is good."""

    name: str
    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class _Read:
    chain: list[x509.Certificate]
    key: Key


def identity_of(pem: Secret) -> ClientIdentity:
    """Raises `CertificateError`."""
    first = _read(pem.reveal()).chain[0]
    name = first.subject.rfc4514_string()[:200] or "without a name"
    return ClientIdentity(name, first.not_valid_before_utc, first.not_valid_after_utc)


def load(context: ssl.SSLContext, pem: Secret) -> ssl.SSLContext:
    """Have the context show this certificate. Raises `CertificateError`.

    OpenSSL takes files only. The key in the file is sealed with a password that lives for this call.
    """
    read, password = _read(pem.reveal()), secrets.token_hex(32)
    sealed = read.key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode()),
    )
    chain = b"".join(each.public_bytes(serialization.Encoding.PEM) for each in read.chain)
    try:
        with TemporaryDirectory(prefix="postern-") as directory:
            file = Path(directory, "client.pem")
            file.write_bytes(chain + sealed)
            context.load_cert_chain(file, password=password)
    except (OSError, ssl.SSLError):
        raise CertificateError("TLS does not take it") from None
    return context


def _read(pem: str) -> _Read:
    if len(pem) > LARGEST:
        raise CertificateError(f"use at most {LARGEST // 1024} KB")
    blocks = [(found[1], found[0].encode("ascii", "replace")) for found in _BLOCK.finditer(pem)]
    chain = [_certificate(data) for kind, data in blocks if kind == "CERTIFICATE"]
    keys = [data for kind, data in blocks if kind.endswith("PRIVATE KEY")]
    if not 1 <= len(chain) <= MOST or len(keys) != 1 or len(blocks) != len(chain) + 1:
        raise CertificateError("paste the certificate, those that vouch for it, and one private key, in PEM")
    key = _key(keys[0])
    if key.public_key() != chain[0].public_key():
        raise CertificateError("the private key does not belong to the first certificate")
    return _Read(chain, key)


def _certificate(data: bytes) -> x509.Certificate:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about serial numbers that nobody issues any more
            return x509.load_pem_x509_certificate(data)
    except ValueError:
        raise CertificateError("one of the certificates cannot be read") from None


def _key(data: bytes) -> Key:
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except TypeError:
        raise CertificateError("take the password off the private key: it is sealed here") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError("the private key cannot be read") from None
    if not isinstance(key, Key):
        raise CertificateError("use an RSA, an elliptic curve or an Ed25519 key")
    return key
