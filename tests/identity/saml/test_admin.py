"""A SAML provider in the admin: imported, looked at, rotated, and refused in words."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from gateway.models import GroupMapping, Issuer
from tests.gateway import world
from tests.gateway.test_issuer_admin import form
from tests.identity.saml.provider import made_pair, pair
from tests.identity.saml.test_attacks import ENTITY, provider

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    browser = Client()
    browser.force_login(world.admin())
    return browser


def saml_form(**values: Any) -> dict[str, Any]:
    usual = {"name": "ADFS", "kind": "saml", "issuer": ENTITY, "metadata": provider().metadata()}
    return form(("exact", "pst-support", "support"), **{**usual, "audiences": "", **values})


def page(client: Client, issuer: Issuer) -> str:
    return client.post(reverse("admin:gateway_issuer_saml", args=[issuer.pk])).content.decode()


def test_metadata_is_imported_and_shown(client: Client) -> None:
    Group.objects.create(name="support")
    add = reverse("admin:gateway_issuer_add")
    for wrong, words in (
        ({"metadata": "<x/>"}, "This is XML and not SAML metadata"),
        ({"metadata": ""}, "Paste the provider"),
        ({"issuer": "https://else.example.com"}, f"The metadata calls the provider {ENTITY}"),
    ):
        answer = client.post(add, saml_form(**wrong))
        assert answer.status_code == 200 and words in answer.content.decode()
    assert client.post(add, saml_form()).status_code == 302
    issuer = Issuer.objects.get()
    assert GroupMapping.objects.get().issuer == issuer
    change = client.get(reverse("admin:gateway_issuer_change", args=[issuer.pk])).content.decode()
    assert "What its metadata says" in change and "discovery document" not in change
    said = page(client, issuer)
    for words in (
        ENTITY,
        "https://idp.example.com/sso",
        "CN=test provider",
        "in force",
        "People can sign in",
    ):
        assert words in said
    assert "http://testserver/saml/acs" in said and "http://testserver/saml/metadata" in said


def test_an_expired_key_and_a_damaged_document_are_said_on_the_page(client: Client) -> None:
    issuer = Issuer.objects.create(
        name="ADFS",
        kind="saml",
        issuer=ENTITY,
        metadata=provider().metadata(made_pair(days=-1), made_pair(days=5), pair("idp")),
    )
    said = page(client, issuer)
    assert "badge-expired" in said and "badge-expiring" in said and "expired on" in said
    Issuer.objects.update(metadata="<x/>")
    assert "not SAML metadata" in page(client, issuer) and "Certificates" not in page(client, issuer)


def test_only_who_may_see_issuers_sees_it_and_only_for_saml(client: Client) -> None:
    issuer = Issuer.objects.create(name="Okta", issuer="https://okta.example.com")
    address = reverse("admin:gateway_issuer_saml", args=[issuer.pk])
    assert client.post(address).status_code == 403
    assert client.get(address).status_code == 405
    stranger = Client()
    stranger.force_login(world.person("carol", is_staff=True))
    assert stranger.post(address).status_code == 403
