"""What a provider's answer says, once everything about it has been checked. Needs the extra.

`answer_read` is the only way from a document to a `Said`. It knows no database and no clock of its own;
what it returns was read from signed bytes alone (`signature`). Everything outside of them may only refuse.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.identity.saml.document import SAML, SAMLP, XENC, Element, only, parsed, text
from gateway.identity.saml.reasons import SamlRefused
from gateway.identity.saml.signature import places, verified

SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
ENTITY: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
LONGEST_ID: Final = 250

_INSTANT: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?Z")
_RESPONSE_PARTS: Final = frozenset(
    (f"{SAML}Issuer", f"{SAMLP}Status", f"{SAML}Assertion", "{http://www.w3.org/2000/09/xmldsig#}Signature")
)
_ASSERTION_PARTS: Final = frozenset(
    f"{SAML}{name}" for name in ("Issuer", "Subject", "Conditions", "AuthnStatement", "AttributeStatement")
)
_CONDITIONS: Final = frozenset(
    f"{SAML}{name}" for name in ("AudienceRestriction", "OneTimeUse", "ProxyRestriction")
)
_UNREADABLE: Final = (f"{SAML}EncryptedAssertion", f"{SAML}EncryptedID", f"{SAML}EncryptedAttribute")


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer must fit. `keys` are the certificates of the provider's metadata, as PEM."""

    issuer: str
    audience: str
    address: str
    request_id: str
    keys: Sequence[bytes]
    now: datetime
    leeway: timedelta
    proven_since: datetime | None = None  # a fresh proof was asked for at this time


@dataclass(frozen=True, slots=True)
class Said:
    """A verified assertion. `usable_until`: from then on it is refused by its own times, leeway included."""

    assertion_id: str
    name_id: str
    name_id_format: str
    attributes: dict[str, list[str]]
    authenticated_at: datetime
    session_index: str
    session_until: datetime | None
    context: str
    usable_until: datetime


def answer_read(xml: bytes, expected: Expected) -> Said:
    """Raises `SamlRefused` with the first thing that is wrong."""
    response = parsed(xml)
    _envelope(response)
    places(response)
    if response.find("{http://www.w3.org/2000/09/xmldsig#}Signature") is not None:
        response = verified(response, expected.keys)
        _envelope(response)
    _addressed(response, expected)
    assertion = verified(only(response, f"{SAML}Assertion", "assertions"), expected.keys)
    return _said(assertion, expected)


def _envelope(response: Element) -> None:
    """One response with one assertion directly in it, and nothing that could hold another."""
    if response.tag != f"{SAMLP}Response" or response.get("Version") != "2.0" or not response.get("ID"):
        raise SamlRefused("structure")
    if any(True for _ in response.iter(*_UNREADABLE, f"{XENC}EncryptedData")):
        raise SamlRefused("encrypted")
    _successful(response)
    found = list(response.iter(f"{SAML}Assertion"))
    if len(found) != 1 or found[0].getparent() is not response:
        raise SamlRefused("assertions")
    if any(part.tag not in _RESPONSE_PARTS for part in response):
        raise SamlRefused("structure")


def _successful(response: Element) -> None:
    code = only(only(response, f"{SAMLP}Status", "structure"), f"{SAMLP}StatusCode", "structure")
    if code.get("Value") != SUCCESS:
        raise SamlRefused("provider_said_no")


def _addressed(response: Element, expected: Expected) -> None:
    """The envelope's own address. It may be unsigned: it can refuse and never admit."""
    if response.get("Destination") != expected.address:
        raise SamlRefused("wrong_destination")
    if response.get("InResponseTo") != expected.request_id:
        raise SamlRefused("in_response_to")
    if response.find(f"{SAML}Issuer") is not None:
        _from(response, expected)


def _from(element: Element, expected: Expected) -> None:
    issuer = only(element, f"{SAML}Issuer", "wrong_issuer")
    if len(issuer) or issuer.text != expected.issuer or issuer.get("Format", ENTITY) != ENTITY:
        raise SamlRefused("wrong_issuer")


def _said(assertion: Element, expected: Expected) -> Said:
    own = assertion.get("ID", "")
    if assertion.tag != f"{SAML}Assertion" or assertion.get("Version") != "2.0":
        raise SamlRefused("structure")
    if not 0 < len(own) <= LONGEST_ID or any(part.tag not in _ASSERTION_PARTS for part in assertion):
        raise SamlRefused("structure")
    _from(assertion, expected)
    until = min(_conditions(assertion, expected), _confirmed(assertion, expected))
    statement = only(assertion, f"{SAML}AuthnStatement", "statement")
    authenticated_at, session_until = _session(statement, expected)
    name_id, name_format = _name_id(assertion, expected)
    return Said(
        assertion_id=own,
        name_id=name_id,
        name_id_format=name_format,
        attributes=_attributes(assertion),
        authenticated_at=authenticated_at,
        session_index=statement.get("SessionIndex", "")[:255],
        session_until=session_until,
        context=_context(statement),
        usable_until=until + expected.leeway,
    )


def _conditions(assertion: Element, expected: Expected) -> datetime:
    """Until when they hold. Every audience restriction must name us; an unknown condition is not met."""
    conditions = only(assertion, f"{SAML}Conditions", "conditions")
    if any(each.tag not in _CONDITIONS for each in conditions):
        raise SamlRefused("conditions")
    until = _within(conditions, expected, "conditions")
    restrictions = conditions.findall(f"{SAML}AudienceRestriction")
    if not restrictions:
        raise SamlRefused("wrong_audience")
    for restriction in restrictions:
        named = [each.text for each in restriction if each.tag == f"{SAML}Audience" and not len(each)]
        if expected.audience not in named:
            raise SamlRefused("wrong_audience")
    return until


def _confirmed(assertion: Element, expected: Expected) -> datetime:
    """Until when the bearer is confirmed: for this address, and in answer to this request."""
    subject = only(assertion, f"{SAML}Subject", "no_subject")
    confirmation = only(subject, f"{SAML}SubjectConfirmation", "not_bearer")
    if confirmation.get("Method") != BEARER:
        raise SamlRefused("not_bearer")
    data = only(confirmation, f"{SAML}SubjectConfirmationData", "not_bearer")
    if data.get("Recipient") != expected.address:
        raise SamlRefused("wrong_recipient")
    if data.get("InResponseTo") != expected.request_id:
        raise SamlRefused("in_response_to")
    return _within(data, expected, "not_bearer")


def _within(element: Element, expected: Expected, code: str) -> datetime:
    """The end of a span of time that now lies in; a span without an end is refused with `code`."""
    begin, end = element.get("NotBefore"), element.get("NotOnOrAfter")
    if end is None:
        raise SamlRefused(code)
    if begin is not None and expected.now + expected.leeway < instant(begin):
        raise SamlRefused("not_yet_valid")
    until = instant(end)
    if until <= expected.now - expected.leeway:
        raise SamlRefused("expired")
    return until


def _session(statement: Element, expected: Expected) -> tuple[datetime, datetime | None]:
    """When the person proved who they are, and until when the provider's session lasts."""
    if (said := statement.get("AuthnInstant")) is None:
        raise SamlRefused("statement")
    proven = instant(said)
    if proven > expected.now + expected.leeway:
        raise SamlRefused("not_yet_valid")
    if expected.proven_since is not None and proven < expected.proven_since - expected.leeway:
        raise SamlRefused("too_old")
    if (end := statement.get("SessionNotOnOrAfter")) is None:
        return proven, None
    until = instant(end)
    if until <= expected.now:
        raise SamlRefused("session_over")
    return proven, until


def _context(statement: Element) -> str:
    """How strong it was, in the provider's words."""
    found = statement.find(f"{SAML}AuthnContext/{SAML}AuthnContextClassRef")
    return (found.text or "")[:255] if found is not None and not len(found) else ""


def _name_id(assertion: Element, expected: Expected) -> tuple[str, str]:
    """The name and its format; empty where there is none. A name for somebody else's use is refused."""
    subject = only(assertion, f"{SAML}Subject", "no_subject")
    names = subject.findall(f"{SAML}NameID")
    if len(names) > 1:
        raise SamlRefused("subject_unclear")
    if not names:
        return "", ""
    if names[0].get("SPNameQualifier", expected.audience) != expected.audience:
        raise SamlRefused("wrong_audience")
    if names[0].get("NameQualifier", expected.issuer) != expected.issuer:
        raise SamlRefused("wrong_issuer")
    return text(names[0]), names[0].get("Format", "")


def _attributes(assertion: Element) -> dict[str, list[str]]:
    """Values by the attribute's `Name`. Values that are more than text count for nothing."""
    found: dict[str, list[str]] = {}
    for attribute in assertion.iterfind(f"{SAML}AttributeStatement/{SAML}Attribute"):
        values = found.setdefault(attribute.get("Name", ""), [])
        for value in attribute.iterfind(f"{SAML}AttributeValue"):
            if not len(value) and value.text:
                values.append(value.text)
    return found


def instant(said: str) -> datetime:
    """A time of SAML, which is UTC and ends in Z. Raises `SamlRefused`: time."""
    match = _INSTANT.fullmatch(said)
    try:
        return datetime.fromisoformat(match[1]).replace(tzinfo=UTC) if match else _unreadable()
    except ValueError:
        return _unreadable()


def _unreadable() -> datetime:
    raise SamlRefused("time")
