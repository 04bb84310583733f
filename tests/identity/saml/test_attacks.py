"""What nobody signs in with, one row each, and why. Beside it what must work: refusing all is easy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import xmlsec
from lxml import etree

from gateway.identity.saml.assertion import Expected, Said, answer_read
from gateway.identity.saml.document import answer_decoded
from gateway.identity.saml.here import Here
from gateway.identity.saml.library import second_reader
from gateway.identity.saml.metadata import saml_metadata_read
from gateway.identity.saml.reasons import REASONS, SamlRefused
from gateway.identity.saml.subject import About, about
from gateway.models import Issuer, IssuerKind
from tests.identity.saml.forging import FORGED, bare
from tests.identity.saml.lying import FORMAT, LIES
from tests.identity.saml.provider import NS, Answer, Provider, encoded, pair, sign, written
from tests.identity.saml.wrapping import WRAPPED

ENTITY = "https://idp.example.com/saml"
HERE = Here(entity_id="https://postern.example.com/saml/metadata", acs="https://postern.example.com/saml/acs")
ATTACKS = {**WRAPPED, **FORGED, **LIES}


def provider(keys: str = "idp") -> Provider:
    answers = Answer(issuer=ENTITY, audience=HERE.entity_id, address=HERE.acs, request_id="_request")
    return Provider(answers, pair(keys))


def expected(p: Provider, **changes: Any) -> Expected:
    usual = Expected(
        issuer=ENTITY,
        audience=HERE.entity_id,
        address=HERE.acs,
        request_id="_request",
        keys=saml_metadata_read(p.metadata()).keys,
        now=datetime.now(UTC),
        leeway=timedelta(seconds=30),
    )
    return replace(usual, **changes)


def judged(p: Provider, made: bytes | str, *, claim: str = "sub", **changes: Any) -> tuple[Said, About]:
    """An answer's whole way, apart from the database."""
    xml = answer_decoded(made if isinstance(made, str) else encoded(made))
    said = answer_read(xml, expected(p, **changes))
    issuer = Issuer(name="IdP", kind=IssuerKind.SAML, issuer=ENTITY, subject_claim=claim)
    person = about(said, issuer)
    second_reader(xml, HERE, saml_metadata_read(p.metadata()), "_request", said)
    return said, person


@pytest.mark.parametrize("name", ATTACKS)
def test_nobody_signs_in_with(name: str) -> None:
    code, attack = ATTACKS[name]
    p = provider()
    judged(p, p.answer())
    made = attack(p)
    with pytest.raises(SamlRefused) as refused:
        judged(p, made)
    assert refused.value.code == code


def test_the_table_is_long_and_uses_most_reasons() -> None:
    assert len(ATTACKS) >= 45
    elsewhere = {
        *("not_installed", "no_such_provider", "bad_metadata", "unsolicited"),
        *(
            "replayed",
            "too_old",
            "time",
            "second_reader",
            "unknown_person",
            "inactive",
            "locked",
            "not_a_person",
            "may_not",
            "other_person",
        ),
    }
    assert {code for code, _ in ATTACKS.values()} == REASONS.keys() - elsewhere


def _both(p: Provider) -> bytes:
    root = p.tree()
    sign(root, p.keys)
    return written(root)


def _signed(**how: Any) -> Callable[[Provider], bytes]:
    def made(p: Provider) -> bytes:
        root = bare(p)
        sign(root.find("saml:Assertion", NS), p.keys, **how)
        return written(root)

    return made


def _prefix_from_outside(p: Provider) -> bytes:
    """Shibboleth declares `xsd` on the response and names it in the assertion's transform."""
    xml = p.answers.xml().replace("<samlp:Response ", '<samlp:Response xmlns:xsd="urn:xsd" ', 1)
    root = etree.fromstring(xml.encode())
    sign(root.find("saml:Assertion", NS), p.keys, prefixes=["xsd"])
    return written(root)


def _indented(p: Provider) -> bytes:
    root = etree.fromstring(p.answers.xml().replace("><", ">\n  <").encode())
    sign(root.find("saml:Assertion", NS), p.keys)
    return written(root)


def _default_namespace(p: Provider) -> bytes:
    """ADFS writes the assertion without a prefix."""
    xml = p.answers.xml()
    begin = xml.index("<saml:Assertion")
    end = xml.index("</samlp:Response>")
    inner = xml[begin:end].replace("xmlns:saml=", "xmlns=").replace("<saml:", "<").replace("</saml:", "</")
    root = etree.fromstring((xml[:begin] + inner + xml[end:]).encode())
    sign(root.find("saml:Assertion", NS), p.keys)
    return written(root)


T = xmlsec.Transform
GOOD: dict[str, Callable[[Provider], bytes]] = {
    "assertion signed": lambda p: p.answer(),
    "response signed as well": _both,
    "SHA-512": _signed(method=T.RSA_SHA512, digest=T.SHA512),
    "SHA-384": _signed(method=T.RSA_SHA384, digest=T.SHA384),
    "prefixes of the assertion": _signed(prefixes=["xs", "saml"]),
    "prefixes of the response": _prefix_from_outside,
    "indented": _indented,
    "without prefixes": _default_namespace,
    "with a declaration": lambda p: b'<?xml version="1.0" encoding="UTF-8"?>\n' + p.answer(),
    "no issuer in the envelope": lambda p: p.answer(response_issuer=None),
    "nothing but a name": lambda p: p.answer(attributes={}),
    "within the leeway": lambda p: p.answer(end=timedelta(seconds=-20), begin=timedelta(seconds=-90)),
    "early within the leeway": lambda p: p.answer(begin=timedelta(seconds=20)),
    "used once": lambda p: p.answer(in_conditions="<saml:OneTimeUse/>"),
    "umlauts": lambda p: p.answer(name_id="jürgen-ß-山"),
    "session that ends": lambda p: p.answer(session_end=timedelta(hours=1)),
}


@pytest.mark.parametrize("name", GOOD)
def test_somebody_signs_in_with(name: str) -> None:
    p = provider()
    said, person = judged(p, GOOD[name](p))
    assert person.subject == said.name_id and person.subject.startswith(("P-00u1", "jürgen"))
    assert person.values is not None and set(person.values) <= {"pst-support", "else"}


def test_elliptic_curves_sign_as_well() -> None:
    p = provider("curve")
    assert judged(p, p.answer())[1].subject == "P-00u1"


def test_while_keys_roll_over_both_count_and_afterwards_one() -> None:
    old, new = provider("idp"), provider("new")
    both = saml_metadata_read(old.metadata(old.keys, new.keys)).keys
    for p in (old, new):
        assert answer_read(p.answer(), expected(p, keys=both)).name_id == "P-00u1"
    with pytest.raises(SamlRefused, match="bad_signature"):
        answer_read(old.answer(), expected(new))


def test_a_lasting_attribute_may_be_the_subject() -> None:
    p = provider()
    transient = FORMAT.format("2.0", "transient")
    answer = p.answer(name_format=transient, attributes={"uid": ["00u1"], "groups": ["a"]})
    assert judged(p, answer, claim="uid")[1].subject == "00u1"
    with pytest.raises(SamlRefused, match="no_subject"):
        judged(p, answer, claim="employeeNumber")
    with pytest.raises(SamlRefused, match="subject_unclear"):
        judged(p, p.answer(attributes={"uid": ["00u1", "00u2"]}), claim="uid")


def test_any_name_counts_where_the_issuer_says_so_but_a_transient_one() -> None:
    p = provider()
    mail = p.answer(name_format=FORMAT.format("1.1", "emailAddress"), name_id="a@example.com")
    assert judged(p, mail, claim="NameID")[1].subject == "a@example.com"
    with pytest.raises(SamlRefused, match="subject_transient"):
        judged(p, p.answer(name_format=FORMAT.format("2.0", "transient")), claim="NameID")


def test_a_fresh_proof_is_asked_for_and_looked_at() -> None:
    p = provider()
    since = datetime.now(UTC)
    judged(p, p.answer(), proven_since=since)
    with pytest.raises(SamlRefused, match="too_old"):
        judged(p, p.answer(proven=timedelta(hours=-1)), proven_since=since)


@pytest.mark.parametrize(
    "said", ["2026-02-30T10:00:00Z", "2026-01-01T10:00:00+02:00", "2026-01-01T10:00:00", "yesterday", ""]
)
def test_times_are_utc_and_real(said: str) -> None:
    p = provider()
    xml = p.answers.xml()
    end = xml.rindex('NotOnOrAfter="') + len('NotOnOrAfter="')
    root = etree.fromstring((xml[:end] + said + xml[xml.index('"', end) :]).encode())
    sign(root.find("saml:Assertion", NS), p.keys)
    with pytest.raises(SamlRefused, match="time"):
        answer_read(written(root), expected(p))


def test_two_readers_must_read_the_same() -> None:
    p = provider()
    xml = p.answer()
    said = answer_read(xml, expected(p))
    metadata = saml_metadata_read(p.metadata())
    second_reader(xml, HERE, metadata, "_request", said)
    for other in (
        replace(said, name_id="P-evil"),
        replace(said, assertion_id="_else"),
        replace(said, attributes={**said.attributes, "groups": ["admins"]}),
    ):
        with pytest.raises(SamlRefused, match="second_reader"):
            second_reader(xml, HERE, metadata, "_request", other)


def test_every_byte_of_a_signed_assertion_matters() -> None:
    """No single changed character of the assertion is read as anything but what was signed."""
    p = provider()
    xml = p.answer()
    wanted = expected(p)
    right = answer_read(xml, wanted)
    begin, end = xml.index(b"<saml:Assertion"), xml.index(b"</samlp:Response>")
    for place in range(begin, end, 3):
        changed = xml[:place] + bytes([xml[place] ^ 1]) + xml[place + 1 :]
        try:
            read = answer_read(changed, wanted)
        except SamlRefused:
            continue
        assert read == right, xml[place - 20 : place + 20]
