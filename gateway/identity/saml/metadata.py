"""A SAML provider's metadata: who it is, where it signs people in, and with which keys it signs.

`saml_metadata_read` is for whoever edits an issuer and for every sign-in alike, so what was shown is what
is used. The document is trusted because a person pasted it here: a signature on it is not looked at.
Importing it again is how keys are changed; while two are listed, both are accepted.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:  # it needs the extra
    from gateway.identity.saml.document import Element

LARGEST_METADATA: Final = 512 * 1024
MOST_CERTIFICATES: Final = 10
SOON: Final = timedelta(days=30)
NOT_INSTALLED: Final = "SAML is not installed here. Install the extra: pip install -r requirements-saml.txt"
REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
SMALLEST_RSA: Final = 2048


class MetadataError(ValueError):
    """Words for whoever pasted it; nothing of the document is in them."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A key that the provider signs with. Its dates are for warnings: it counts until it is taken out."""

    pem: bytes
    subject: str
    fingerprint: str  # SHA-256, hexadecimal
    not_before: datetime
    not_after: datetime

    @property
    def base64(self) -> str:
        return "".join(self.pem.decode("ascii").splitlines()[1:-1])

    def state(self, now: datetime) -> str:
        """in force | soon (it expires within 30 days) | expired"""
        if self.not_after <= now:
            return "expired"
        return "soon" if self.not_after <= now + SOON else "in force"


@dataclass(frozen=True, slots=True)
class Provider:
    entity_id: str
    sso_url: str
    slo_url: str
    certificates: tuple[Certificate, ...]
    valid_until: datetime | None
    wants_signed_requests: bool

    @property
    def keys(self) -> tuple[bytes, ...]:
        return tuple(each.pem for each in self.certificates)


def saml_installed() -> bool:
    """Whether the optional extra is there."""
    return all(find_spec(name) is not None for name in ("lxml", "xmlsec", "onelogin"))


def saml_metadata_read(xml: str) -> Provider:
    """Raises `MetadataError` in words. Its `entity_id` is to be the issuer's identifier."""
    if not saml_installed():
        raise MetadataError(NOT_INSTALLED)
    root = _parsed(xml)
    role = _only(root, "IDPSSODescriptor", "This metadata describes no identity provider (IDPSSODescriptor).")
    entity_id = root.get("entityID", "")
    if not 0 < len(entity_id) <= 300 or entity_id != entity_id.strip():
        raise MetadataError("The entity id is missing or longer than 300 characters.")
    return Provider(
        entity_id=entity_id,
        sso_url=_address(role, "SingleSignOnService", needed=True),
        slo_url=_address(role, "SingleLogoutService", needed=False),
        certificates=_certificates(role),
        valid_until=_valid_until(root),
        wants_signed_requests=role.get("WantAuthnRequestsSigned") in ("true", "1"),
    )


def saml_metadata_warnings(provider: Provider, now: datetime) -> list[str]:
    """What works today and may not tomorrow."""
    found = []
    for each in provider.certificates:
        named = f"The certificate {each.fingerprint[:16]}… ({each.subject or 'no name'})"
        if each.state(now) == "expired":
            found.append(f"{named} expired on {each.not_after:%Y-%m-%d}. Ask the provider for its new one.")
        elif each.state(now) == "soon":
            found.append(f"{named} expires on {each.not_after:%Y-%m-%d}. Import the metadata again by then.")
    if provider.valid_until is not None and provider.valid_until <= now:
        found.append(f"This metadata was meant to be used until {provider.valid_until:%Y-%m-%d}.")
    if provider.wants_signed_requests:
        found.append("It says that it wants signed requests. Postern's are unsigned: switch that off there.")
    return found


def _parsed(xml: str) -> Element:
    """The root of one EntityDescriptor; comments are taken out, a DTD is refused."""
    from lxml import etree

    from gateway.identity.saml.document import MD, parser

    raw = xml.strip().encode()
    if not raw:
        raise MetadataError("Paste the provider's metadata document.")
    if len(raw) > LARGEST_METADATA:
        raise MetadataError(f"This is larger than {LARGEST_METADATA // 1024} KB. Take the provider's part.")
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise MetadataError("A DTD has no place in metadata.")
    try:
        root = etree.fromstring(raw, parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        line = f" (line {error.lineno})" if isinstance(error, etree.XMLSyntaxError) else ""
        raise MetadataError(f"This is not well-formed XML{line}.") from None
    if root.getroottree().docinfo.doctype:
        raise MetadataError("A DTD has no place in metadata.")
    etree.strip_tags(root, etree.Comment, etree.ProcessingInstruction)
    if root.tag == f"{MD}EntitiesDescriptor":
        raise MetadataError("This lists several entities. Paste the EntityDescriptor of the one provider.")
    if root.tag != f"{MD}EntityDescriptor":
        raise MetadataError("This is XML and not SAML metadata (EntityDescriptor).")
    return root


def _only(root: Element, name: str, words: str) -> Element:
    from gateway.identity.saml.document import MD

    found = root.findall(f"{MD}{name}")
    if len(found) != 1:
        raise MetadataError(words)
    return found[0]


def _address(role: Element, name: str, *, needed: bool) -> str:
    """Where a browser is sent to, by the redirect binding."""
    from gateway.identity.saml.document import MD

    services = [each for each in role.findall(f"{MD}{name}") if each.get("Binding") == REDIRECT]
    if not services:
        if needed:
            raise MetadataError(f"It offers no {name} by HTTP-Redirect, which is how Postern asks.")
        return ""
    address: str = services[0].get("Location", "")
    if not _is_address(address):
        raise MetadataError(f"The address of {name} must begin with https://.")
    return address


def _is_address(address: str) -> bool:
    """https, or plain http to this very machine (a provider on trial)."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or parts.fragment or "@" in parts.netloc or len(address) > 500:
        return False
    if not address.isascii() or not address.isprintable() or any(each in address for each in " \\<>\"'"):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _certificates(role: Element) -> tuple[Certificate, ...]:
    found = {each.fingerprint: each for each in map(_certificate, _signing(role))}
    if not found:
        raise MetadataError("It lists no certificate to check signatures with (KeyDescriptor, use=signing).")
    if len(found) > MOST_CERTIFICATES:
        raise MetadataError(f"It lists more than {MOST_CERTIFICATES} certificates.")
    return tuple(sorted(found.values(), key=lambda each: each.not_after, reverse=True))


def _signing(role: Element) -> Iterator[str]:
    from gateway.identity.saml.document import DS, MD

    for key in role.findall(f"{MD}KeyDescriptor"):
        if key.get("use", "signing") == "signing":
            for certificate in key.iter(f"{DS}X509Certificate"):
                yield certificate.text or ""


def _certificate(text: str) -> Certificate:
    try:
        loaded = x509.load_der_x509_certificate(base64.b64decode("".join(text.split()), validate=True))
        public: Any = loaded.public_key()
    except (binascii.Error, ValueError, TypeError) as error:
        raise MetadataError("One of its certificates cannot be read.") from error
    except Exception as error:  # an unknown kind of key
        raise MetadataError("One of its certificates holds a key of an unknown kind.") from error
    if isinstance(public, rsa.RSAPublicKey):
        if public.key_size < SMALLEST_RSA:
            raise MetadataError(f"One of its keys is shorter than {SMALLEST_RSA} bits.")
    elif not isinstance(public, ec.EllipticCurvePublicKey):
        raise MetadataError("Its keys must be RSA or elliptic curve keys.")
    der = loaded.public_bytes(Encoding.DER)
    return Certificate(
        pem=loaded.public_bytes(Encoding.PEM),
        subject=_shown(loaded),
        fingerprint=hashlib.sha256(der).hexdigest(),
        not_before=loaded.not_valid_before_utc,
        not_after=loaded.not_valid_after_utc,
    )


def _shown(loaded: x509.Certificate) -> str:
    try:
        return loaded.subject.rfc4514_string()[:200]
    except ValueError:
        return ""


def _valid_until(root: Element) -> datetime | None:
    from gateway.identity.saml.assertion import instant
    from gateway.identity.saml.reasons import SamlRefused

    said = root.get("validUntil")
    try:
        return instant(said) if said else None
    except SamlRefused:
        raise MetadataError("Its validUntil cannot be read.") from None
