"""A SAML identity provider for tests: keys made at test time, answers signed by xmlsec, each part changeable.

`Provider.answer()` is what Keycloak or Okta would send; its arguments change one part each. What no argument
can do is done to the tree, by the attacks.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from lxml import etree

P = "urn:oasis:names:tc:SAML:2.0:protocol"
A = "urn:oasis:names:tc:SAML:2.0:assertion"
D = "http://www.w3.org/2000/09/xmldsig#"
NS = {"samlp": P, "saml": A, "ds": D}
PERSISTENT = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
PASSWORD = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"


@dataclass(frozen=True)
class KeyPair:
    key: bytes
    certificate: bytes

    @property
    def base64(self) -> str:
        return "".join(self.certificate.decode().splitlines()[1:-1])


def made_pair(*, curve: bool = False, bits: int = 2048, days: int = 365) -> KeyPair:
    """A key and its own certificate; `days` below zero: expired."""
    key: Any = ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(65537, bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test provider")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return KeyPair(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
    )


@cache
def pair(name: str) -> KeyPair:
    """One of this run's key pairs. Making one takes long enough to share them."""
    return made_pair(curve=name == "curve")


def stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@dataclass(frozen=True)
class Answer:
    """The parts of an answer, as they are right. None leaves a part out."""

    issuer: str
    audience: str | None
    address: str
    request_id: str | None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    name_id: str | None = "P-00u1"
    name_format: str | None = PERSISTENT
    attributes: dict[str, list[str]] = field(
        default_factory=lambda: {
            "name": ["Alice A."],
            "email": ["alice@example.com"],
            "groups": ["pst-support", "else"],
        }
    )
    response_id: str = field(default_factory=lambda: "_r" + secrets.token_hex(12))
    assertion_id: str = field(default_factory=lambda: "_a" + secrets.token_hex(12))
    response_issuer: str | None = ""
    destination: str | None = ""
    recipient: str | None = ""
    response_to: str | None = ""
    confirmed_to: str | None = ""
    status: str = SUCCESS
    version: str = "2.0"
    method: str = BEARER
    begin: timedelta | None = timedelta(minutes=-1)
    end: timedelta | None = timedelta(minutes=5)
    confirmed_end: timedelta | None = timedelta(minutes=5)
    confirmed_begin: timedelta | None = None
    proven: timedelta | None = timedelta(seconds=-5)
    session_end: timedelta | None = None
    session_index: str = "s-1"
    extra: str = ""  # more of the response, before the assertion
    inner: str = ""  # more of the assertion, at its end
    in_conditions: str = ""
    in_name: str = ""  # raw, instead of the name
    statements: int = 1
    confirmations: int = 1
    prologue: str = ""

    def xml(self) -> str:
        head = _attributes(
            ID=self.response_id,
            Version=self.version,
            IssueInstant=stamp(self.now),
            Destination=self._or(self.destination, self.address),
            InResponseTo=self._or(self.response_to, self.request_id),
        )
        issuer = self._or(self.response_issuer, self.issuer)
        said = f"<saml:Issuer>{escape(issuer)}</saml:Issuer>" if issuer is not None else ""
        return (
            f'{self.prologue}<samlp:Response xmlns:samlp="{P}" xmlns:saml="{A}"{head}>{said}'
            f'<samlp:Status><samlp:StatusCode Value="{self.status}"/></samlp:Status>'
            f"{self.extra}{self.assertion()}</samlp:Response>"
        )

    def assertion(self) -> str:
        head = _attributes(ID=self.assertion_id, Version=self.version, IssueInstant=stamp(self.now))
        return (
            f'<saml:Assertion xmlns:saml="{A}" xmlns:xs="http://www.w3.org/2001/XMLSchema"{head}>'
            f"<saml:Issuer>{escape(self.issuer)}</saml:Issuer>{self._subject()}{self._conditions()}"
            f"{self._statement() * self.statements}{self._values()}{self.inner}</saml:Assertion>"
        )

    def _subject(self) -> str:
        name = ""
        if self.name_id is not None or self.in_name:
            form = _attributes(Format=self.name_format)
            name = f"<saml:NameID{form}>{self.in_name or escape(self.name_id or '')}</saml:NameID>"
        data = _attributes(
            Recipient=self._or(self.recipient, self.address),
            InResponseTo=self._or(self.confirmed_to, self.request_id),
            NotBefore=self._at(self.confirmed_begin),
            NotOnOrAfter=self._at(self.confirmed_end),
        )
        confirmation = (
            f'<saml:SubjectConfirmation Method="{self.method}">'
            f"<saml:SubjectConfirmationData{data}/></saml:SubjectConfirmation>"
        )
        return f"<saml:Subject>{name}{confirmation * self.confirmations}</saml:Subject>"

    def _conditions(self) -> str:
        span = _attributes(NotBefore=self._at(self.begin), NotOnOrAfter=self._at(self.end))
        audience = ""
        if self.audience is not None:
            audience = (
                f"<saml:AudienceRestriction><saml:Audience>{escape(self.audience)}</saml:Audience>"
                "</saml:AudienceRestriction>"
            )
        return f"<saml:Conditions{span}>{audience}{self.in_conditions}</saml:Conditions>"

    def _statement(self) -> str:
        head = _attributes(
            AuthnInstant=self._at(self.proven),
            SessionIndex=self.session_index,
            SessionNotOnOrAfter=self._at(self.session_end),
        )
        return (
            f"<saml:AuthnStatement{head}><saml:AuthnContext><saml:AuthnContextClassRef>{PASSWORD}"
            "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
        )

    def _values(self) -> str:
        if not self.attributes:
            return ""
        values = "".join(
            f"<saml:Attribute Name={quoteattr(name)}>"
            + "".join(f"<saml:AttributeValue>{escape(text)}</saml:AttributeValue>" for text in texts)
            + "</saml:Attribute>"
            for name, texts in self.attributes.items()
        )
        return f"<saml:AttributeStatement>{values}</saml:AttributeStatement>"

    def _at(self, away: timedelta | None) -> str | None:
        return None if away is None else stamp(self.now + away)

    @staticmethod
    def _or(value: str | None, usual: str | None) -> str | None:
        return usual if value == "" else value


def _attributes(**values: str | None) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in values.items() if value is not None)


@dataclass(frozen=True)
class Provider:
    """One provider with its key; `answers` is the right answer to one request."""

    answers: Answer
    keys: KeyPair

    def answer(self, **changes: Any) -> bytes:
        """A whole answer with its assertion signed, as text."""
        return written(self.tree(**changes))

    def tree(self, **changes: Any) -> Any:
        root = etree.fromstring(replace(self.answers, **changes).xml().encode())
        sign(root.find("saml:Assertion", NS), self.keys)
        return read_again(root)

    def metadata(self, *certificates: KeyPair, sso: str = "https://idp.example.com/sso") -> str:
        keys = "".join(
            f'<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="{D}"><ds:X509Data><ds:X509Certificate>'
            f"{each.base64}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
            for each in certificates or (self.keys,)
        )
        return (
            '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"'
            f" entityID={quoteattr(self.answers.issuer)}>"
            f'<md:IDPSSODescriptor protocolSupportEnumeration="{P}">{keys}'
            "<md:SingleSignOnService"
            f' Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location={quoteattr(sso)}/>'
            "</md:IDPSSODescriptor></md:EntityDescriptor>"
        )


def written(root: Any) -> bytes:
    text: bytes = etree.tostring(root)
    return text


def read_again(root: Any) -> Any:
    """The same, parsed: lxml does not find all elements by name that xmlsec made."""
    return etree.fromstring(etree.tostring(root))


def encoded(xml: bytes) -> str:
    """As it travels in a form."""
    return base64.b64encode(xml).decode()


def sign(
    element: Any,
    keys: KeyPair,
    *,
    method: Any = None,
    digest: Any = None,
    canonical: Any = None,
    steps: tuple[Any, ...] = (xmlsec.Transform.ENVELOPED, xmlsec.Transform.EXCL_C14N),
    uri: str | None = None,
    prefixes: list[str] | None = None,
) -> Any:
    """Sign an element of SAML in its place, after its issuer. Returns the signature."""
    curve = keys is pair("curve")
    usual = xmlsec.Transform.ECDSA_SHA256 if curve else xmlsec.Transform.RSA_SHA256
    signature = xmlsec.template.create(
        element, canonical or xmlsec.Transform.EXCL_C14N, method or usual, ns="ds"
    )
    issuer = element.find("saml:Issuer", NS)
    element.insert(0 if issuer is None else 1, signature)
    about = f"#{element.get('ID')}" if uri is None else uri
    reference = xmlsec.template.add_reference(signature, digest or xmlsec.Transform.SHA256, uri=about)
    for step in steps:
        made = xmlsec.template.add_transform(reference, step)
        if prefixes and step is xmlsec.Transform.EXCL_C14N:
            xmlsec.template.transform_add_c14n_inclusive_namespaces(made, prefixes)
    xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(signature))
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(keys.key, xmlsec.KeyFormat.PEM)
    context.key.load_cert_from_memory(keys.certificate, xmlsec.KeyFormat.PEM)
    context.register_id(element, "ID")
    context.sign(signature)
    return signature
