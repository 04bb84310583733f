"""Attacks by what an answer says, truly signed, and by the text it is written in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from lxml import etree

from gateway.identity.mapping import MOST_VALUES
from gateway.identity.saml.document import LARGEST_ANSWER
from gateway.identity.saml.subject import GROUPS_LEFT_OUT
from tests.identity.saml.provider import NS, A, P, Provider, encoded, pair, sign

XENC = "http://www.w3.org/2001/04/xmlenc#"
MINUTE = timedelta(minutes=1)
EVIL = "https://evil.example.com"
FORMAT = "urn:oasis:names:tc:SAML:{}:nameid-format:{}"


def said(**changes: Any) -> Callable[[Provider], bytes]:
    """Signed as it should be, and saying something else."""
    return lambda p: p.answer(**changes)


def elsewhere(part: str, shape: str) -> Callable[[Provider], bytes]:
    """One address changed; `shape` holds ours."""
    return lambda p: p.answer(**{part: shape.format(p.answers.address)})


def rewritten(old: bytes, new: bytes) -> Callable[[Provider], bytes]:
    """The text changed after signing, where canonicalisation or parsers might not notice."""

    def made(p: Provider) -> bytes:
        xml = p.answer()
        assert old in xml
        return xml.replace(old, new, 1)

    return made


def before(prologue: str) -> Callable[[Provider], bytes]:
    return lambda p: prologue.encode() + p.answer()


def form(change: Callable[[str], str]) -> Callable[[Provider], str]:
    """As it travels, damaged."""
    return lambda p: change(encoded(p.answer()))


def in_utf16(p: Provider) -> bytes:
    return ('<!DOCTYPE a [<!ENTITY e "x">]>' + p.answer().decode()).encode("utf-16")


def from_another_provider(p: Provider) -> bytes:
    """Another provider that we know as well: its true answer, to a sign-in that asked this one."""
    other = Provider(replace(p.answers, issuer="https://other.example.com/saml"), pair("mallory"))
    return other.answer()


def from_another_under_this_name(p: Provider) -> bytes:
    return Provider(p.answers, pair("mallory")).answer()


def two_signed(p: Provider) -> bytes:
    root = p.tree()
    other = etree.fromstring(replace(p.answers, assertion_id="_second").xml().encode())
    assertion = other.find("saml:Assertion", NS)
    root.append(assertion)
    sign(assertion, p.keys)
    return etree.tostring(root)  # type: ignore[no-any-return]


def only_the_assertion(p: Provider) -> bytes:
    return etree.tostring(p.tree().find("saml:Assertion", NS))  # type: ignore[no-any-return]


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
VALUES = f"<saml:AttributeStatement><saml:EncryptedAttribute><x:EncryptedData xmlns:x='{XENC}'/>"
DEEP = "<x>" * 300 + "</x>" * 300

LIES: dict[str, tuple[str, Callable[[Provider], Any]]] = {
    # --- whom it is for
    "another destination": ("wrong_destination", said(destination=f"{EVIL}/saml/acs")),
    "no destination": ("wrong_destination", said(destination=None)),
    "a destination that begins like ours": ("wrong_destination", elsewhere("destination", "{}.evil.example")),
    "a destination with a query": ("wrong_destination", elsewhere("destination", "{}?x=1")),
    "another recipient": ("wrong_recipient", said(recipient=f"{EVIL}/saml/acs")),
    "no recipient": ("wrong_recipient", said(recipient=None)),
    "a recipient that holds ours": ("wrong_recipient", elsewhere("recipient", EVIL + "/?{}")),
    "another audience": ("wrong_audience", said(audience=EVIL)),
    "an audience that begins like ours": (
        "wrong_audience",
        said(audience="https://postern.example.com/saml"),
    ),
    "no audience": ("wrong_audience", said(audience=None)),
    "an audience restriction more": (
        "wrong_audience",
        said(
            in_conditions=f"<saml:AudienceRestriction><saml:Audience>{EVIL}</saml:Audience>"
            "</saml:AudienceRestriction>"
        ),
    ),
    "an unknown condition": ("conditions", said(in_conditions="<saml:Condition/>")),
    # --- what it answers
    "another request": ("in_response_to", said(request_id="_else")),
    "another request in the envelope": ("in_response_to", said(response_to="_else")),
    "another request in the assertion": ("in_response_to", said(confirmed_to="_else")),
    "unsolicited": ("in_response_to", said(request_id=None)),
    "unsolicited in the assertion": ("in_response_to", said(confirmed_to=None)),
    # --- who says it
    "another provider": ("wrong_issuer", from_another_provider),
    "another provider under this name": ("bad_signature", from_another_under_this_name),
    "another issuer in the assertion": ("wrong_issuer", said(issuer=EVIL, response_issuer=None)),
    "another issuer in the envelope": ("wrong_issuer", said(response_issuer=EVIL)),
    "the provider said no": (
        "provider_said_no",
        said(status="urn:oasis:names:tc:SAML:2.0:status:Responder"),
    ),
    "SAML 1.1": ("structure", said(version="1.1")),
    "no response around it": ("structure", only_the_assertion),
    "extensions": ("structure", said(extra=f"<samlp:Extensions xmlns:samlp='{P}'/>")),
    "advice": ("structure", said(inner="<saml:Advice/>")),
    # --- when
    "expired": ("expired", said(end=-MINUTE)),
    "just beyond the leeway": ("expired", said(end=timedelta(seconds=-31))),
    "confirmation expired": ("expired", said(confirmed_end=-MINUTE)),
    "not yet valid": ("not_yet_valid", said(begin=MINUTE)),
    "confirmation not yet valid": ("not_yet_valid", said(confirmed_begin=MINUTE)),
    "conditions without an end": ("conditions", said(end=None)),
    "confirmation without an end": ("not_bearer", said(confirmed_end=None)),
    "signed in tomorrow": ("not_yet_valid", said(proven=timedelta(days=1))),
    "no time of signing in": ("statement", said(proven=None)),
    "session at the provider over": ("session_over", said(session_end=-MINUTE)),
    # --- how it is confirmed
    "sender vouches": ("not_bearer", said(method="urn:oasis:names:tc:SAML:2.0:cm:sender-vouches")),
    "holder of key": ("not_bearer", said(method="urn:oasis:names:tc:SAML:2.0:cm:holder-of-key")),
    "no confirmation": ("not_bearer", said(confirmations=0)),
    "two confirmations": ("not_bearer", said(confirmations=2)),
    "no statement of signing in": ("statement", said(statements=0)),
    "two statements of signing in": ("statement", said(statements=2)),
    # --- how many, and sealed
    "two signed assertions": ("assertions", two_signed),
    "an encrypted assertion beside it": (
        "encrypted",
        said(extra=f"<saml:EncryptedAssertion xmlns:saml='{A}'/>"),
    ),
    "an encrypted name": ("encrypted", said(in_name=f"<x:EncryptedData xmlns:x='{XENC}'/>")),
    "an encrypted attribute": (
        "encrypted",
        said(inner=VALUES + "</saml:EncryptedAttribute></saml:AttributeStatement>"),
    ),
    # --- about whom
    "no name": ("no_subject", said(name_id=None)),
    "an empty name": ("no_subject", said(name_id="")),
    "a transient name": ("subject_transient", said(name_format=FORMAT.format("2.0", "transient"))),
    "an e-mail address as name": (
        "subject_unstable",
        said(name_format=FORMAT.format("1.1", "emailAddress"), name_id="alice@example.com"),
    ),
    "a name of no format": ("subject_unstable", said(name_format=None)),
    "a name with an element in it": ("subject_unclear", said(in_name="P-00u1<x/>.evil")),
    "a name with space around it": ("subject_unclear", said(name_id="P-00u1 ")),
    "a name with something invisible": ("subject_unclear", said(name_id="P-00\u200bu1")),
    "a name in two lines": ("subject_unclear", said(name_id="P-00u1\nP-evil")),
    "a name without end": ("subject_unclear", said(name_id="P" * 256)),
    "two names": (
        "subject_unclear",
        said(
            in_name=f'P-00u1</saml:NameID><saml:NameID Format="{FORMAT.format("2.0", "persistent")}">P-evil'
        ),
    ),
    "too many groups": (
        "too_many_groups",
        said(attributes={"groups": [f"g{n}" for n in range(MOST_VALUES + 1)]}),
    ),
    "groups left out": ("groups_left_out", said(attributes={GROUPS_LEFT_OUT: ["https://graph.example"]})),
    # --- the text
    "a comment in the name": ("forbidden_markup", rewritten(b"P-00u1<", b"P-00u1<!-- -->.evil<")),
    "a comment that cuts the name": ("forbidden_markup", rewritten(b">P-00u1<", b">P-00<!-- -->u1<")),
    "an instruction in the name": ("forbidden_markup", rewritten(b">P-00u1<", b">P-00<?x?>u1<")),
    "CDATA in the name": ("forbidden_markup", rewritten(b">P-00u1<", b"><![CDATA[P-00u1]]><")),
    "a comment anywhere": ("forbidden_markup", rewritten(b"</samlp:Status>", b"</samlp:Status><!---->")),
    "a DTD": ("forbidden_markup", before("<!DOCTYPE samlp:Response>")),
    "an entity": ("forbidden_markup", before('<!DOCTYPE a [<!ENTITY e "x">]>')),
    "an external entity": (
        "forbidden_markup",
        before('<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>'),
    ),
    "an external DTD": ("forbidden_markup", before(f'<!DOCTYPE a SYSTEM "{EVIL}/x.dtd">')),
    "a parameter entity": ("forbidden_markup", before(f'<!DOCTYPE a [<!ENTITY % e SYSTEM "{EVIL}"> %e;]>')),
    "a billion laughs": ("forbidden_markup", before(f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]>')),
    "a DTD after a declaration": ("forbidden_markup", before('<?xml version="1.0"?><!DOCTYPE a>')),
    "a DTD in UTF-16": ("not_xml", in_utf16),
    "an entity nobody declared": ("not_xml", rewritten(b">P-00u1<", b">&evil;<")),
    "two roots": ("not_xml", lambda p: p.answer() + b"<x/>"),
    "cut off": ("not_xml", lambda p: p.answer()[:-20]),
    "a NUL": ("not_xml", rewritten(b">P-00u1<", b">P-00\x00u1<")),
    "not UTF-8": ("not_xml", rewritten(b">P-00u1<", b">P-00\xe9u1<")),
    "no XML": ("not_xml", lambda p: b'{"sub": "alice"}'),
    "nothing": ("not_xml", lambda p: ""),
    "more attributes than an element has": (
        "structure",
        rewritten(b"<saml:Conditions", b"<saml:Conditions " + b" ".join(b'a%d=""' % n for n in range(60))),
    ),
    "an abyss": ("not_xml", lambda p: f"<r xmlns:saml='{A}'>{DEEP}</r>".encode()),
    "not base64": ("not_base64", lambda p: "<samlp:Response>"),
    "base64 for URLs": ("not_base64", lambda p: "PD94-_8="),
    "base64 cut off": ("not_base64", form(lambda text: text.rstrip("=")[: len(text) // 4 * 4 - 5])),
    "base64 with more behind it": ("not_base64", form(lambda text: text + "===AAAA")),
    "base64 in other letters": ("not_base64", lambda p: "ＰＤ９４"),
    "huge": ("too_large", said(attributes={"x": ["y" * LARGEST_ANSWER]})),
    "huge in base64": ("too_large", lambda p: "A" * (LARGEST_ANSWER * 2)),
}
