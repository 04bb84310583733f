"""What speaks against an issuer of kind SAML, and what its page shows. Changes nothing; needs no extra.

For whoever edits issuers (admin, REST) and for `gateway.checks`: both say the same in the same words.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TypedDict

from django.utils import timezone

from gateway.identity.saml.metadata import (
    NOT_INSTALLED,
    MetadataError,
    Provider,
    saml_installed,
    saml_metadata_read,
    saml_metadata_warnings,
)
from gateway.identity.saml.subject import SUBJECT_IS_NAME
from gateway.models import Issuer, IssuerKind


class ShownCertificate(TypedDict):
    """`state`: in force | soon | expired, a word for a badge."""

    subject: str
    fingerprint: str
    not_after: datetime
    state: str


def saml_problems(issuer: Issuer) -> Iterator[tuple[str, str]]:
    """Field and words, for each thing that keeps it from signing anybody in."""
    if not issuer.metadata.strip():
        yield "metadata", "Paste the provider's metadata document."
        return
    try:
        provider = saml_metadata_read(issuer.metadata)
    except MetadataError as error:
        yield "metadata", str(error)
        return
    if provider.entity_id != issuer.issuer:
        yield "issuer", f"The metadata calls the provider {provider.entity_id}. Write exactly that."


def saml_warnings(issuer: Issuer) -> list[str]:
    """What is allowed and may be a mistake or run out."""
    try:
        provider = saml_metadata_read(issuer.metadata)
    except MetadataError:
        return []
    found = saml_metadata_warnings(provider, timezone.now())
    if issuer.subject_claim not in SUBJECT_IS_NAME:
        found.append(f"People are known by {issuer.subject_claim}: it must never pass to somebody else.")
    return found


def saml_shown(provider: Provider, now: datetime) -> list[ShownCertificate]:
    """The certificates as a page shows them."""
    return [
        ShownCertificate(
            subject=each.subject,
            fingerprint=" ".join(each.fingerprint[i : i + 4] for i in range(0, 64, 4)),
            not_after=each.not_after,
            state=each.state(now),
        )
        for each in provider.certificates
    ]


def saml_trouble() -> list[str]:
    """Words about every enabled SAML issuer that cannot sign people in, or soon cannot."""
    found = []
    for issuer in Issuer.objects.filter(kind=IssuerKind.SAML, enabled=True):
        if not saml_installed():
            found.append(f"{issuer.name}: {NOT_INSTALLED}")
            continue
        words = [words for _, words in saml_problems(issuer)] or saml_warnings(issuer)
        found += [f"{issuer.name}: {each}" for each in words]
    return found
