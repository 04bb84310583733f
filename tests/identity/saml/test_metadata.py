"""A provider's metadata: what is read from it, what is refused, and in which words."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command

from gateway.checks import TAG
from gateway.identity.saml import metadata as metadata_module
from gateway.identity.saml.issuers import saml_problems, saml_shown, saml_warnings
from gateway.identity.saml.metadata import (
    LARGEST_METADATA,
    MetadataError,
    saml_metadata_read,
    saml_metadata_warnings,
)
from gateway.identity.saml.reasons import REASONS
from gateway.models import Issuer, IssuerKind
from tests.identity.saml.provider import KeyPair, made_pair, pair
from tests.identity.saml.test_attacks import ENTITY, provider

NOW = datetime.now(UTC)
ROOT = Path(__file__).parents[3]


def test_it_says_who_where_and_with_which_keys() -> None:
    found = saml_metadata_read(provider().metadata(pair("idp"), pair("curve")))
    assert (found.entity_id, found.sso_url) == (ENTITY, "https://idp.example.com/sso")
    assert {each.pem for each in found.certificates} == {pair("idp").certificate, pair("curve").certificate}
    shown = saml_shown(found, NOW)
    assert [each["subject"] for each in shown] == ["CN=test provider"] * 2
    assert {each["state"] for each in shown} == {"in force"} and len(shown[0]["fingerprint"]) == 79
    assert saml_metadata_warnings(found, NOW) == []


def test_the_same_key_twice_is_one_and_one_for_encryption_none() -> None:
    text = provider().metadata(pair("idp"), pair("idp"), pair("new"))
    last = text.rindex('use="signing"')
    found = saml_metadata_read(text[:last] + 'use="encryption"' + text[last + len('use="signing"') :])
    assert [each.pem for each in found.certificates] == [pair("idp").certificate]


def test_a_key_for_no_particular_use_signs() -> None:
    assert len(saml_metadata_read(provider().metadata().replace(' use="signing"', "")).certificates) == 1


def test_comments_and_a_declaration_are_fine() -> None:
    text = '<?xml version="1.0" encoding="UTF-8"?>\n<!-- of Okta -->\n' + provider().metadata()
    assert saml_metadata_read(text.replace("<md:IDP", "<!-- x --><md:IDP")).entity_id == ENTITY


def test_what_runs_out_is_said_before() -> None:
    old, soon = made_pair(days=-1), made_pair(days=10)
    text = provider().metadata(old, soon, pair("idp"))
    text = text.replace("<md:IDPSSODescriptor", '<md:IDPSSODescriptor WantAuthnRequestsSigned="true"')
    text = text.replace("<md:EntityDescriptor", '<md:EntityDescriptor validUntil="2020-01-01T00:00:00Z"')
    words = saml_metadata_warnings(saml_metadata_read(text), NOW)
    assert [" expired " in each for each in words] == [False, True, False, False]
    assert " expires on " in words[0] and "2020-01-01" in words[2] and "signed requests" in words[3]


def _cert(pair: KeyPair) -> str:
    return provider().metadata(pair)


M = provider
REFUSED: dict[str, tuple[Any, str]] = {
    "nothing": (lambda: " ", "Paste"),
    "no XML": (lambda: "https://idp.example.com/metadata", "not well-formed"),
    "other XML": (lambda: "<html/>", "not SAML metadata"),
    "several entities": (
        lambda: '<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"/>',
        "several entities",
    ),
    "a service provider's": (lambda: M().metadata().replace("IDPSSO", "SPSSO"), "no identity provider"),
    "a DTD": (lambda: "<!DOCTYPE a>" + M().metadata(), "DTD"),
    "an entity": (lambda: '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + M().metadata(), "DTD"),
    "huge": (lambda: M().metadata() + " <!-- " + "x" * LARGEST_METADATA + "-->", "larger than"),
    "no entity id": (lambda: M().metadata().replace(ENTITY, ""), "entity id"),
    "a long entity id": (lambda: M().metadata().replace(ENTITY, "x" * 301), "entity id"),
    "POST only": (lambda: M().metadata().replace("HTTP-Redirect", "HTTP-POST"), "HTTP-Redirect"),
    "plain http": (lambda: M().metadata(sso="http://idp.example.com/sso"), "https://"),
    "a script": (lambda: M().metadata(sso="javascript:alert(1)"), "https://"),
    "a path": (lambda: M().metadata(sso="/sso"), "https://"),
    "a name in the address": (lambda: M().metadata(sso="https://a@idp.example.com/sso"), "https://"),
    "a line break in the address": (lambda: M().metadata(sso="https://idp.example.com/&#10;x"), "https://"),
    "no certificate": (lambda: M().metadata().replace("X509Certificate", "X509SKI"), "no certificate"),
    "a broken certificate": (lambda: M().metadata().replace("MII", "AAA"), "cannot be read"),
    "a short key": (lambda: _cert(made_pair(bits=1024)), "shorter than 2048"),
    "many certificates": (
        lambda: M().metadata(*(made_pair(curve=True) for _ in range(11))),
        "more than 10",
    ),
    "an odd end": (
        lambda: M().metadata().replace(" entityID=", ' validUntil="tomorrow" entityID='),
        "validUntil",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_in_words(name: str) -> None:
    made, words = REFUSED[name]
    with pytest.raises(MetadataError, match=words):
        saml_metadata_read(made())


def test_plain_http_is_for_a_provider_on_this_machine() -> None:
    for address in ("http://127.0.0.1:8080/sso", "http://localhost/sso", "http://[::1]/sso"):
        assert saml_metadata_read(M().metadata(sso=address)).sso_url == address


def row(**fields: Any) -> Issuer:
    usual = {"name": "IdP", "kind": IssuerKind.SAML, "issuer": ENTITY, "metadata": M().metadata()}
    return Issuer(**{**usual, **fields})


def test_an_issuer_is_checked_with_its_metadata() -> None:
    assert list(saml_problems(row())) == []
    assert dict(saml_problems(row(metadata=""))).keys() == {"metadata"}
    assert dict(saml_problems(row(metadata="<x/>"))).keys() == {"metadata"}
    assert ENTITY in dict(saml_problems(row(issuer="https://else.example.com")))["issuer"]
    assert saml_warnings(row()) == [] and "email" in saml_warnings(row(subject_claim="email"))[0]


@pytest.mark.django_db
def test_a_check_tells_of_issuers_that_cannot_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def told() -> list[str]:
        found = run_checks(tags=[TAG], include_deployment_checks=True, databases=["default"])
        return [each.msg for each in found if each.id == "gateway.W022"]

    issuer = row()
    issuer.save()
    assert told() == []
    issuer.metadata = M().metadata(made_pair(days=3))
    issuer.save()
    assert "expires on" in told()[0]
    monkeypatch.setattr(metadata_module, "find_spec", lambda name: None)
    assert "not installed" in told()[0] and "requirements-saml.txt" in told()[0]
    Issuer.objects.update(enabled=False)
    assert told() == []


@pytest.mark.django_db
def test_the_command_shows_a_file_and_what_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "metadata.xml"
    file.write_text(M().metadata())
    call_command("saml_metadata", str(file))
    said = capsys.readouterr().out
    assert ENTITY in said and "https://idp.example.com/sso" in said and "in force" in said
    row().save()
    call_command("saml_metadata", "--issuer", "IdP")
    assert ENTITY in capsys.readouterr().out
    file.write_text("<x/>")
    for arguments in ([str(file)], [str(tmp_path / "none")], ["--issuer", "Else"]):
        with pytest.raises(CommandError):
            call_command("saml_metadata", *arguments)


def test_dates_are_for_warnings_and_the_key_counts_meanwhile() -> None:
    found = saml_metadata_read(M().metadata(made_pair(days=-30)))
    assert found.certificates[0].state(NOW) == "expired"
    assert found.certificates[0].state(NOW - timedelta(days=90)) == "in force"


def test_the_documentation_explains_each_reason() -> None:
    page = (ROOT / "docs/saml.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.M))
    assert {code: rows.get(code) for code in REASONS} == REASONS


def test_everything_loads_where_the_extra_is_not_installed() -> None:
    script = (
        "import sys\n"
        "for name in ('lxml', 'xmlsec', 'onelogin'): sys.modules[name] = None\n"
        "import django; django.setup()\n"
        "import gateway.urls\n"
        "from gateway.identity.saml.metadata import MetadataError, saml_metadata_read\n"
        "try: saml_metadata_read('<x/>')\n"
        "except MetadataError as error: print(error)\n"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "gateway.settings"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "not installed" in done.stdout
