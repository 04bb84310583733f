"""Issuers and the deployment's rules through `/api/v1/`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from rest_framework.test import APIClient

from audit.models import Entry
from gateway.deployment import deployment_now, deployment_save
from gateway.identity.authz import role_grant
from gateway.models import ApiKey, Deployment, Issuer, User
from policies.models import Proposal
from tests.api import world
from tests.gateway import two
from tests.gateway import world as people

pytestmark = pytest.mark.django_db(transaction=True)
ISSUERS, DEPLOYMENT = "/api/v1/issuers", "/api/v1/deployment"
OKTA: dict[str, Any] = {
    "name": "Okta",
    "issuer": "https://login.example.com/tenant",
    "audiences": ["postern"],
    "mappings": [
        {"match": "exact", "value": "pst-support", "group": "support"},
        {"match": "prefix", "value": "x-", "group": None},
    ],
}


@pytest.fixture
def api() -> APIClient:
    cache.clear()
    people.area()
    Group.objects.create(name="support")
    account = world.program()
    role_grant(group=Group.objects.get(name="ci programs"), role="admin", by=None)
    owner = User.objects.get(username="owner")
    owner.groups.add(Group.objects.get(name="ci programs"))  # proposes in person what its program asks for
    row, secret = world.key_of(account)
    ApiKey.objects.filter(pk=row.pk).update(created_by=owner)
    return world.client(secret)


def added(api: APIClient, **more: Any) -> Any:
    return api.post(ISSUERS, {**OKTA, **more}, format="json")


def test_an_issuer_is_added_read_changed_and_deleted(api: APIClient) -> None:
    made = added(api)
    assert made.status_code == 201, made.content
    body = made.json()
    assert body["mappings"] == sorted(OKTA["mappings"], key=lambda rule: rule["match"])
    assert body["algorithms"] == ["RS256"] and "reason" not in body
    one = f"{ISSUERS}/{body['id']}"
    assert api.get(one).json() == body and api.get(ISSUERS).json()["results"] == [body]
    changed = api.patch(one, {"leeway": 10, "mappings": OKTA["mappings"][:1]}, format="json").json()
    assert (changed["leeway"], len(changed["mappings"])) == (10, 1)
    assert api.patch(one, {"enabled": False}, format="json").json()["mappings"] == changed["mappings"]
    assert api.delete(one).status_code == 204
    assert not Issuer.objects.exists()
    told = [json.loads(bytes(entry.meta))["event"] for entry in Entry.objects.order_by("sequence")]
    assert [each for each in told if each.startswith("issuer.")] == [
        "issuer.added",
        "issuer.changed",
        "issuer.changed",
        "issuer.deleted",
    ]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"issuer": "http://login.example.com"}, "Use https"),
        ({"algorithms": ["HS256"]}, "Not accepted"),
        ({"algorithms": "RS256"}, "at least one"),
        ({"leeway": 61}, "60"),
        ({"mappings": [{"match": "exact", "value": "x", "group": "nobody"}]}, "no group nobody"),
        ({"mappings": [{"match": "exact", "value": "x"}]}, "Choose the group"),
        ({"mappings": [{"match": "regex", "value": "(a+)+"}]}, "repeat within"),
        ({"mappings": "all"}, "list"),
        ({"kind": "ldap"}, "not a valid choice"),
        ({"introspection_credential": "00000000-0000-0000-0000-000000000000"}, "does not exist"),
    ],
)
def test_what_is_refused_is_refused_in_words(api: APIClient, said: dict[str, Any], words: str) -> None:
    body = world.problem(added(api, **said), 422, "refused")
    assert words in " ".join(body["errors"])
    assert not Issuer.objects.exists()


def test_what_may_be_a_door_is_a_warning(api: APIClient) -> None:
    rules = [{"match": "exact", "value": "boss", "group": "ci programs"}]
    assert added(api, mappings=rules).json()["warnings"] == [
        "Rule 1: Makes administrators: ci programs has that role."
    ]


def test_where_it_takes_two_a_reason_proposes_it(api: APIClient) -> None:
    deployment_save(deployment=Deployment(two_person_issuers=True), by=None)
    world.problem(added(api), 409, "needs-second-person")
    proposed = added(api, reason="new provider")
    assert proposed.status_code == 202, proposed.content
    proposal = Proposal.objects.get(pk=proposed.json()["proposal"])
    assert (proposal.kind, proposal.proposed_by.username, proposal.reason) == (
        "issuer.add",
        "owner",
        "new provider",
    )
    bob = two.official("bob")
    two.confirm(proposal, bob)
    one = f"{ISSUERS}/{Issuer.objects.get().pk}"
    world.problem(api.patch(one, {"leeway": 5}, format="json"), 409, "needs-second-person")
    world.problem(api.delete(one), 409, "needs-second-person")
    changed = api.patch(one, {"leeway": 5, "reason": "skew"}, format="json")
    two.confirm(Proposal.objects.get(pk=changed.json()["proposal"]), bob)
    assert api.get(one).json()["leeway"] == 5
    gone = api.delete(f"{one}?reason=left")
    two.confirm(Proposal.objects.get(pk=gone.json()["proposal"]), bob)
    assert not Issuer.objects.exists()


def test_nobody_proposes_in_anothers_name_with_a_key_that_they_made(api: APIClient) -> None:
    """Bob makes a key for a program that somebody else owns: proposing and confirming, he would be two."""
    ApiKey.objects.update(created_by=two.official("bob"))
    deployment_save(deployment=Deployment(two_person_issuers=True, two_person_roles=True), by=None)
    made = Issuer.objects.create(name="Okta", issuer="https://login.example.com")
    one = f"{ISSUERS}/{made.pk}"
    answers = [
        added(api, name="Mine", issuer="https://mine.example.com", reason="new provider"),
        api.patch(one, {"leeway": 5, "reason": "skew"}, format="json"),
        api.delete(f"{one}?reason=left"),
        api.patch(DEPLOYMENT, {"two_person_roles": False, "reason": "slow"}, format="json"),
    ]
    assert [each.status_code for each in answers] == [403] * 4
    assert not Proposal.objects.exists()


def test_the_deployments_rules(api: APIClient) -> None:
    assert api.get(DEPLOYMENT).json() == {
        "two_person_issuers": False,
        "two_person_roles": False,
        "key_max_days": 366,
        "personal_key_hours": 12,
    }
    bob = two.official("bob")
    said = {"two_person_roles": True, "key_max_days": 90}
    assert api.patch(DEPLOYMENT, said, format="json").json()["key_max_days"] == 90
    looser = {"two_person_roles": False, "key_max_days": 30}
    world.problem(api.patch(DEPLOYMENT, looser, format="json"), 409, "needs-second-person")
    assert deployment_now().key_max_days == 90
    proposed = api.patch(DEPLOYMENT, {**looser, "reason": "slow"}, format="json")
    assert proposed.status_code == 202
    assert (deployment_now().two_person_roles, deployment_now().key_max_days) == (True, 30)
    two.confirm(Proposal.objects.get(), bob)
    assert not deployment_now().two_person_roles
    world.problem(api.patch(DEPLOYMENT, {"key_max_days": 400}, format="json"), 422, "refused")


@pytest.mark.parametrize("method", ["get", "post", "patch", "delete"])
def test_a_role_in_one_area_reaches_none_of_it(method: str) -> None:
    cache.clear()
    area = people.area()
    issuer = Issuer.objects.create(name="Okta", issuer="https://login.example.com")
    account = world.program("local", roles=())
    role_grant(group=Group.objects.get(name="local programs"), role="admin", area=area, by=None)
    client = world.client(world.key_of(account)[1])
    for path in (ISSUERS, f"{ISSUERS}/{issuer.pk}", DEPLOYMENT):
        answer = getattr(client, method)(path, {}, format="json")
        assert answer.status_code in (403, 405), (path, answer.content)
    assert Issuer.objects.count() == 1
