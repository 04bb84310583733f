"""Whose word counts on who a model's service is: the system's authorities, or those of one endpoint alone.

Names are checked always, TLS 1.2 is the least, and no endpoint can say otherwise.
"""

from __future__ import annotations

import re
import ssl
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography import x509
from django.core.exceptions import ValidationError

MOST: Final = 20
"""Certificates of one endpoint."""

LARGEST: Final = 64 * 1024
"""Characters of them."""

_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.S)


@dataclass(frozen=True, slots=True)
class Authority:
    """One certificate that is believed."""

    name: str
    begins: datetime
    ends: datetime


def authorities(pem: str) -> list[Authority]:
    """What is in there, in order. Raises ValueError, which quotes nothing."""
    if len(pem) > LARGEST:
        raise ValueError(f"at most {LARGEST // 1024} KB")
    found = [_authority(block, kind) for kind, block in _blocks(pem)]
    if not found and pem.strip():
        raise ValueError("begin with -----BEGIN CERTIFICATE-----")
    if len(found) > MOST:
        raise ValueError(f"at most {MOST} certificates")
    return found


def validate_authorities(value: str) -> None:
    """A field validator."""
    try:
        authorities(value)
        if value:
            _own(value)
    except ssl.SSLError:
        raise ValidationError("Certificates cannot be used: TLS does not take them.", code="pem") from None
    except ValueError as error:
        raise ValidationError(f"Certificates cannot be read: {error}.", code="pem") from None


def first_end(pem: str) -> datetime | None:
    """When the first of them ends; None where there are none."""
    return min((each.ends for each in authorities(pem)), default=None)


def context_for(pem: str) -> ssl.SSLContext:
    """For connections to an endpoint that believes these alone; none: those of the system. Raises ValueError
    (`ssl.SSLError` is none: what is stored was tried)."""
    return _own(pem) if pem.strip() else _system()


def _blocks(pem: str) -> Iterator[tuple[str, str]]:
    for found in _BLOCK.finditer(pem):
        if found[1] != "CERTIFICATE":
            # A key in this field would be shown to whoever may see the endpoint.
            raise ValueError("leave out everything but certificates, above all keys")
        yield found[1], found[0]


def _authority(block: str, kind: str) -> Authority:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old ones carry serial numbers that nobody issues any more
            found = x509.load_pem_x509_certificate(block.encode("ascii"))
            name = found.subject.rfc4514_string()[:200] or "without a name"
            return Authority(name, found.not_valid_before_utc, found.not_valid_after_utc)
    except ValueError:
        raise ValueError("one of them is no certificate") from None


def own_context(pem: str) -> ssl.SSLContext:
    """The same as one that nobody shares: a client certificate may be put into it."""
    return _own.__wrapped__(pem) if pem.strip() else _system.__wrapped__()


@lru_cache(maxsize=256)
def _own(pem: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata="\n".join(block for _, block in _blocks(pem)))
    return context


@lru_cache(maxsize=1)
def _system() -> ssl.SSLContext:
    """Reading the system's authorities takes longer than most calls."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
