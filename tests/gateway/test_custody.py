"""Where a secret may go: what each way of sending it needs, and no way in takes it elsewhere (P17)."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from gateway.areas import area_save
from gateway.code.apply import ApplyError, apply
from gateway.code.document import read, write
from gateway.code.plan import plan
from gateway.code.state import document
from gateway.credentials.secret import Secret
from gateway.credentials.services import (
    CredentialError,
    NoSecret,
    OriginMismatch,
    credential_current,
    credential_move,
    credential_reveal_for_origin,
    credential_save,
    credential_set,
    endpoint_attach,
    endpoint_save,
)
from gateway.models import AccessRule, Credential, CredentialVersion, Endpoint, Placement
from policies.grants import NeedsSecondPerson
from policies.models import Proposal
from policies.proposals import propose
from tests.gateway import two, world
from tests.proxy.test_sending import certificate

pytestmark = pytest.mark.django_db

CANARY = "canary-0123456789"
ELSEWHERE = "https://elsewhere.example.com"
OAUTH = {"placement": "oauth", "token_url": "https://id.example.com/token", "client_id": "gw"}


@pytest.mark.parametrize(
    "values",
    [
        {"placement": "pigeon"},
        {"placement": "header", "header": ""},
        {"placement": "query"},
        {"placement": "body"},
        {"placement": "header", "parameter": "key"},
        {"placement": "basic"},
        {"placement": "header", "username": "svc"},
        {"placement": "oauth", "client_id": "gw"},
        {"placement": "oauth", "token_url": "https://id.example.com/token"},
        {"placement": "basic", "username": "svc", "scope": "x"},
        {"placement": "header", "client_auth": "sometimes"},
    ],
)
def test_the_database_knows_what_each_way_needs(values: dict[str, str]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        world.credential(**values)
    with pytest.raises(ValidationError):
        credential_save(credential=new(**values), by=None)


def new(**values: Any) -> Credential:
    return Credential(area=world.area(), name="new", origin=world.ORIGIN, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"placement": "query", "parameter": "key"},
        {"placement": "body", "parameter": "api_key"},
        {"placement": "basic", "username": "svc"},
        OAUTH,
        {"placement": "certificate"},
    ],
)
def test_what_fits_is_stored_written_down_and_read_back(values: dict[str, str]) -> None:
    credential_save(credential=new(**values), by=None)
    text = write(document(world.area()))
    Credential.objects.all().delete()
    apply(plan=plan(read(text.encode())), by=None)
    stored = Credential.objects.get()
    assert {name: getattr(stored, name) for name in values} == values


@pytest.mark.parametrize(
    "url",
    [
        "http://id.example.com/t",
        "https://id.example.com/t#x",
        "https://u:p@id.example.com/t",
        "ftp://x/t",
        "t",
    ],
)
def test_a_token_address_is_one_that_a_secret_may_go_to(url: str) -> None:
    with pytest.raises(ValidationError):
        credential_save(credential=new(**{**OAUTH, "token_url": url}), by=None)


def test_a_certificate_is_told_from_a_key_and_from_none() -> None:
    credential = world.credential(placement="certificate")
    for wrong in (CANARY, "".join(certificate("gateway", days=-1))):
        with pytest.raises(CredentialError) as refusal:
            credential_set(credential=credential, secret=Secret(wrong), by=None)
        assert wrong[:30] not in str(refusal.value)
    credential_set(credential=credential, secret=Secret("".join(certificate("gateway"))), by=None)
    with pytest.raises(OriginMismatch):
        endpoint_attach(endpoint=world.endpoint(), credential=credential, by=None)
    with pytest.raises(OriginMismatch):
        endpoint_save(endpoint=_shown(world.endpoint("b"), world.credential("plain")), by=None)
    with pytest.raises(ValidationError):
        credential.placement = Placement.HEADER.value
        credential_save(credential=credential, by=None)


def _shown(endpoint: Endpoint, credential: Credential) -> Endpoint:
    endpoint.client_certificate = credential
    return endpoint


# --- no way in carries a secret along ---------------------------------------------------------------


def test_the_seal_names_the_token_address_too() -> None:
    credential = world.credential(**OAUTH)
    version = credential_set(credential=credential, secret=Secret(CANARY), by=None)
    assert credential_reveal_for_origin(version=version, origin=world.ORIGIN).reveal() == CANARY
    Credential.objects.update(token_url="https://thief.example.com/token")
    with pytest.raises(NoSecret):
        credential_reveal_for_origin(version=CredentialVersion.objects.get(), origin=world.ORIGIN)
    Credential.objects.update(token_url="https://id.example.com/other")  # the same host
    version = CredentialVersion.objects.get()
    assert credential_reveal_for_origin(version=version, origin=world.ORIGIN).reveal() == CANARY


@pytest.mark.parametrize(
    ("name", "value", "keeps"),
    [
        ("origin", ELSEWHERE, False),
        ("token_url", "https://thief.example.com/token", False),
        ("token_url", "https://id.example.com/v2/token", True),
        ("scope", "more", True),
    ],
)
def test_a_credential_that_goes_elsewhere_is_empty(name: str, value: str, keeps: bool) -> None:
    credential, endpoint = world.credential(**OAUTH), world.endpoint()
    credential_set(credential=credential, secret=Secret(CANARY), by=None)
    endpoint_attach(endpoint=endpoint, credential=credential, by=None)
    setattr(credential, name, value)
    credential_save(credential=credential, by=None)
    endpoint.refresh_from_db()
    assert (endpoint.credential is not None) is (name != "origin")
    assert all(bool(bytes(version.sealed)) is keeps for version in credential.versions.all())


def test_an_endpoint_that_moves_leaves_secret_and_certificate() -> None:
    endpoint, shown = world.endpoint(), world.credential("cert", placement="certificate")
    endpoint_attach(endpoint=endpoint, credential=world.credential(), by=None)
    endpoint.client_certificate = shown
    endpoint_save(endpoint=endpoint, by=None)
    endpoint.origin = ELSEWHERE
    with pytest.raises(OriginMismatch):
        endpoint_save(endpoint=endpoint, by=None)
    endpoint.refresh_from_db()
    before, _, after = write(document(world.area())).rpartition(world.ORIGIN)  # the endpoint's
    text = f"{before}{ELSEWHERE}{after}"
    with pytest.raises(ApplyError, match="sealed for"):
        apply(plan=plan(read(text.encode())), by=None)
    endpoint.refresh_from_db()
    assert endpoint.origin == world.ORIGIN and endpoint.client_certificate == shown


def test_a_file_swaps_in_no_credential_of_another_origin() -> None:
    endpoint = world.endpoint()
    endpoint_attach(endpoint=endpoint, credential=world.credential(), by=None)
    world.credential("other", origin=ELSEWHERE)
    text = write(document(world.area())).replace("credential: model key", "credential: other")
    with pytest.raises(ApplyError, match="sealed for"):
        apply(plan=plan(read(text.encode())), by=None)


def test_a_file_does_not_bring_a_secret_to_another_origin() -> None:
    credential = world.credential()
    credential_set(credential=credential, secret=Secret(CANARY), by=None)
    text = write(document(world.area())).replace(world.ORIGIN, ELSEWHERE)
    apply(plan=plan(read(text.encode())), by=None)
    credential.refresh_from_db()
    assert credential.origin == ELSEWHERE
    with pytest.raises(NoSecret):
        credential_current(credential=credential)


def test_a_credential_keeps_its_area() -> None:
    credential = world.credential()
    credential.area = world.area("other")
    with pytest.raises(ValidationError):
        credential_save(credential=credential, by=None)


# --- two people -------------------------------------------------------------------------------------


@pytest.fixture
def guarded() -> Credential:
    area = world.area()
    area.two_person_origin = True
    area_save(area=area, by=None)
    credential = world.credential(area=area)
    credential_set(credential=credential, secret=Secret(CANARY), by=None)
    return credential


def test_where_two_people_are_asked_for_one_moves_nothing(guarded: Credential) -> None:
    with pytest.raises(NeedsSecondPerson):
        credential_move(credential=guarded, origin=ELSEWHERE, by=None)
    text = write(document(guarded.area)).replace(world.ORIGIN, ELSEWHERE)
    with pytest.raises(ApplyError) as refusal:
        apply(plan=plan(read(text.encode())), by=None)
    assert refusal.value.second_person
    for name, value in OAUTH.items():
        setattr(guarded, name, value)
    with pytest.raises(NeedsSecondPerson):
        credential_save(credential=guarded, by=None)
    assert credential_current(credential=guarded).number == 1
    credential_set(credential=guarded, secret=Secret("another-0123"), by=None)  # it goes where it went


def test_a_second_person_confirms_the_move(guarded: Credential) -> None:
    ada, eve = world.admin(), world.admin("eve")
    proposal = propose(
        kind="credential.origin", target_id=guarded.pk, payload={"origin": ELSEWHERE}, by=ada, reason="moves"
    )
    assert ("Secret", "kept", "–") in [tuple(row) for row in proposal.shown]
    two.confirm(proposal, eve)
    guarded.refresh_from_db()
    assert guarded.origin == ELSEWHERE
    with pytest.raises(NoSecret):
        credential_current(credential=guarded)


def test_the_form_proposes_the_move_and_saves_the_rest(guarded: Credential, client: Client) -> None:
    client.force_login(world.admin())
    values = {"name": "renamed", "origin": ELSEWHERE, "placement": "header", "header": "Authorization"}
    page = reverse("admin:gateway_credential_change", args=[guarded.pk])
    formset = {"versions-TOTAL_FORMS": "0", "versions-INITIAL_FORMS": "0"}
    client.post(page, {**values, **formset, "scheme": "Bearer", "reason": "they moved"})
    guarded.refresh_from_db()
    assert (guarded.name, guarded.origin) == ("renamed", world.ORIGIN)
    assert Proposal.objects.get().kind == "credential.origin"


def test_a_form_that_is_shown_again_does_not_show_what_was_pasted(client: Client) -> None:
    client.force_login(world.admin())
    pasted = "".join(certificate("gateway"))
    values = {"name": "", "area": str(world.area().pk), "origin": world.ORIGIN, "placement": "certificate"}
    answer = client.post(reverse("admin:gateway_credential_add"), {**values, "pem": pasted})
    assert answer.status_code == 200 and "PRIVATE KEY" not in answer.content.decode()
    client.post(reverse("admin:gateway_credential_add"), {**values, "name": "cert", "pem": pasted})
    stored = Credential.objects.get()
    assert credential_current(credential=stored).number == 1
    assert (
        "PRIVATE KEY"
        not in client.get(reverse("admin:gateway_credential_change", args=[stored.pk])).content.decode()
    )


# --- who can use it ---------------------------------------------------------------------------------


def custody(client: Client, credential: Credential) -> str:
    return client.get(reverse("admin:gateway_credential_custody", args=[credential.pk])).content.decode()


def test_the_page_says_who_can_have_it_sent(client: Client) -> None:
    credential, endpoint = world.credential(), world.endpoint()
    client.force_login(world.admin())
    assert "No endpoint uses it" in custody(client, credential)
    endpoint_attach(endpoint=endpoint, credential=credential, by=None)
    assert "no access rule in force" in custody(client, credential)
    alice = world.person("alice", group="analysts")
    key, _ = world.key_of(alice)
    world.person("carol", group="others")
    rule = AccessRule.objects.create(
        group=Group.objects.get(name="analysts"), endpoint=endpoint, policy=world.published_policy()
    )
    page = custody(client, credential)
    assert "alice" in page and "carol" not in page and key.prefix in page
    assert reverse("admin:gateway_accessrule_change", args=[rule.pk]) in page


def test_who_may_not_see_credentials_does_not_see_the_page(client: Client) -> None:
    credential = world.credential()
    client.force_login(world.person("carol", is_staff=True))
    assert client.get(reverse("admin:gateway_credential_custody", args=[credential.pk])).status_code == 403
