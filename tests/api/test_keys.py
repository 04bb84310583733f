"""Keys and service accounts over the API: one's own, and others' as far as a role reaches."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.utils import timezone
from rest_framework.test import APIClient

from audit.models import Entry
from gateway.api.openapi import description
from gateway.identity.authz import role_grant
from gateway.identity.keys import api_key_create, digest, has_shape
from gateway.models import AccessRule, ApiKey, Area, ServiceAccount, User
from tests.api import world
from tests.gateway import world as people

pytestmark = pytest.mark.django_db(transaction=True)
KEYS, ACCOUNTS = "/api/v1/keys", "/api/v1/service-accounts"
LATER = (timezone.now() + timedelta(days=20)).isoformat()


@pytest.fixture(autouse=True)
def small_world() -> None:
    cache.clear()
    people.area()


@pytest.fixture
def alice() -> User:
    return people.person("alice", group="support")


@pytest.fixture
def admin() -> APIClient:
    """ada administrates everything."""
    return signed_in(people.admin())


def signed_in(person: User) -> APIClient:
    made = APIClient()
    made.force_login(person)
    return made


def area_admin(area: str, name: str = "bob") -> User:
    bob = people.person(name, group=f"{area} admins")
    role_grant(group=bob.groups.get(), role="admin", area=people.area(area), by=None)
    return bob


def account(area: str, owner: User, *groups: Group) -> ServiceAccount:
    made = ServiceAccount.objects.create(area=people.area(area), name=f"job-{area}", owner=owner)
    made.groups.set(groups)
    return made


def asked(**more: Any) -> dict[str, Any]:
    return {"name": "job", "expires_at": LATER, **more}


def key_for(holder: ServiceAccount) -> ApiKey:
    until = timezone.now() + timedelta(days=9)
    return api_key_create(name="job", service_account=holder, expires_at=until, by=None)[0]


# --- one's own ------------------------------------------------------------------------------------------


def test_whoever_is_signed_in_makes_rotates_and_ends_keys_of_their_own(alice: User) -> None:
    opened, policy = people.endpoint("chat"), people.published_policy()
    AccessRule.objects.create(group=alice.groups.get(), endpoint=opened, policy=policy)
    client = signed_in(alice)
    scope = {"groups": ["support"], "endpoints": ["chat"], "models": ["m"], "networks": ["10.0.0.0/8"]}
    made = client.post(KEYS, asked(**scope, declared_level="internal"))
    assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
    body = made.json()
    assert has_shape(body["key"]) and ApiKey.objects.get(digest=digest(body["key"])).user == alice
    assert (body["holder"], body["state"], body["declared_level"]) == ("user:alice", "active", "internal")
    assert (body["groups"], body["allowed_endpoints"]) == (["support"], ["chat"])
    listed = client.get(KEYS).json()["results"]
    assert [each["prefix"] for each in listed] == [body["prefix"]]
    assert "key" not in listed[0] and "digest" not in listed[0]

    turned = client.post(f"{KEYS}/{body['id']}/rotate", {"overlap": 60})
    assert turned.status_code == 201 and turned.json()["rotated_from"] == body["id"]
    world.problem(client.post(f"{KEYS}/{body['id']}/rotate"), 422, "refused")
    ended = client.post(f"{KEYS}/{turned.json()['id']}/revoke", {"because": "leaked"}).json()
    assert (ended["state"], ended["revoked_because"]) == ("revoked", "leaked")


@pytest.mark.parametrize(
    "wrong",
    [
        {"groups": ["clinic"]},
        {"groups": ["no such group"]},
        {"endpoints": ["nowhere"]},
        {"networks": ["here"]},
        {"declared_level": "secret"},
        {"name": ""},
        {"expires_at": (timezone.now() + timedelta(days=400)).isoformat()},
        {"models": "m"},
    ],
)
def test_what_makes_no_sense_makes_no_key(alice: User, wrong: dict[str, Any]) -> None:
    Group.objects.create(name="clinic")
    world.problem(signed_in(alice).post(KEYS, asked(**wrong)), 422, "refused")
    assert ApiKey.objects.count() == 0


def test_others_keys_are_not_there_and_none_is_made_for_others(alice: User) -> None:
    row, _ = people.key_of(people.person("carol"))
    client = signed_in(alice)
    assert client.get(KEYS).json()["results"] == []
    for path in (f"{KEYS}/{row.pk}/rotate", f"{KEYS}/{row.pk}/revoke"):
        world.problem(client.post(path), 404, "not-found")
    world.problem(client.get(f"{KEYS}/{row.pk}"), 404, "not-found")
    for holder in ("user:carol", "user:nobody", "service:none"):
        world.problem(client.post(KEYS, asked(holder=holder)), 403, "not-allowed")
    world.problem(client.post(f"{KEYS}/leaked", {"text": row.prefix}), 403, "not-allowed")
    row.refresh_from_db()
    assert row.revoked_at is None


def test_a_session_needs_its_token(alice: User) -> None:
    strict = world.signed_in(alice)
    world.problem(strict.post(KEYS, asked()), 403, "not-allowed")
    assert ApiKey.objects.count() == 0


# --- others' --------------------------------------------------------------------------------------------


def test_an_administrator_sees_all_and_makes_keys_for_anybody(admin: APIClient, alice: User) -> None:
    mine = key_for(account("clinic", alice))
    assert mine.prefix in {each["prefix"] for each in admin.get(KEYS).json()["results"]}
    assert admin.post(KEYS, asked(holder="user:alice")).json()["holder"] == "user:alice"
    assert admin.post(KEYS, asked(holder="service:job-clinic")).json()["holder"] == "service:job-clinic"
    world.problem(admin.post(KEYS, asked(holder="service:nobody")), 404, "not-found")
    world.problem(admin.post(KEYS, asked(holder=f"key:{mine.prefix}")), 422, "refused")


def test_an_area_is_a_wall(alice: User) -> None:
    here, there = key_for(account("clinic", alice)), key_for(account("bank", alice))
    people.key_of(alice)
    client = signed_in(area_admin("clinic"))
    assert [each["prefix"] for each in client.get(KEYS).json()["results"]] == [here.prefix]
    assert client.post(KEYS, asked(holder="service:job-clinic")).status_code == 201
    world.problem(client.post(KEYS, asked(holder="service:job-bank")), 404, "not-found")
    world.problem(client.post(KEYS, asked(holder="user:alice")), 404, "not-found")
    world.problem(client.post(f"{KEYS}/{there.pk}/revoke"), 404, "not-found")
    assert client.post(f"{KEYS}/{here.pk}/rotate").status_code == 201
    text = f"{here.prefix} {there.prefix}"
    found = client.post(f"{KEYS}/leaked", {"text": text, "revoke": "all"}).json()
    assert found["revoked"] == [here.prefix]


def test_no_key_is_a_way_around_the_wall(alice: User) -> None:
    """A program of the clinic that is in a group of the bank: its key would open the bank's endpoint."""
    bankers, clinicians = (Group.objects.create(name=name) for name in ("bankers", "clinicians"))
    policy = people.published_policy()
    bank = people.endpoint("bank-chat", area=people.area("bank"))
    AccessRule.objects.create(group=bankers, endpoint=bank, policy=policy)
    job = account("clinic", alice, bankers, clinicians)
    client = signed_in(area_admin("clinic"))
    refused = client.post(KEYS, asked(holder="service:job-clinic"))
    assert "bankers" in str(world.problem(refused, 422, "refused"))
    some = client.post(KEYS, asked(holder="service:job-clinic", groups=["clinicians"]))
    assert some.status_code == 201
    world.problem(client.post(f"{KEYS}/{key_for(job).pk}/rotate"), 422, "refused")


def test_a_program_acts_by_its_roles_and_never_renews_itself() -> None:
    plain = world.program("plain", roles=())
    row, secret = world.key_of(plain)
    client = world.client(secret)
    assert [each["prefix"] for each in client.get(KEYS).json()["results"]] == [row.prefix]
    world.problem(client.post(f"{KEYS}/{row.pk}/rotate"), 403, "not-allowed")
    world.problem(client.post(f"{KEYS}/{row.pk}/revoke"), 403, "not-allowed")
    world.problem(client.post(KEYS, asked(holder="service:plain")), 403, "not-allowed")

    admin = world.client(world.key_of(world.program("robot", roles=("admin",)))[1])
    assert admin.post(KEYS, asked(holder="service:plain")).status_code == 201
    assert admin.post(f"{KEYS}/{row.pk}/revoke").json()["state"] == "revoked"
    assert "api.called" in b"".join(bytes(each.meta) for each in Entry.objects.filter(kind="event")).decode()


# --- what a program's own key is restricted to -----------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "status"),
    [
        ({}, 200),
        ({"networks": ["127.0.0.0/8"]}, 200),
        ({"networks": ["10.0.0.0/8"]}, 403),
        ({"allowed_endpoints": ["chat"]}, 403),
        ({"allowed_models": ["m"]}, 403),
        ({"group_ids": [0]}, 403),
    ],
)
def test_the_scope_of_a_key_counts_here_as_well(columns: dict[str, Any], status: int) -> None:
    row, secret = world.key_of(world.program("robot", roles=("admin",)))
    ApiKey.objects.filter(pk=row.pk).update(**columns)
    assert world.client(secret).get("/api/v1/areas").status_code == status


def test_using_the_api_is_a_use_of_the_key() -> None:
    row, secret = world.key_of(world.program("robot", roles=("admin",)))
    world.client(secret).get("/api/v1/areas")
    row.refresh_from_db()
    assert row.last_used_at is not None and row.last_used_from == "127.0.0.1"


# --- leaks ----------------------------------------------------------------------------------------------


def test_a_leak_is_looked_up_then_answered(admin: APIClient, alice: User) -> None:
    (whole, secret), (bare, _) = people.key_of(alice), people.key_of(alice)
    text = f"hunter2 {secret.reveal()} {bare.prefix}"
    looked = admin.post(f"{KEYS}/leaked", {"text": text})
    assert "hunter2" not in looked.content.decode() and secret.reveal() not in looked.content.decode()
    body = looked.json()
    assert [(each["prefix"], each["whole"]) for each in body["keys"]] == [
        (whole.prefix, True),
        (bare.prefix, False),
    ]
    assert body["revoked"] == [] and ApiKey.objects.filter(revoked_at=None).count() == 2
    done = admin.post(f"{KEYS}/leaked", {"text": text, "revoke": "whole"}).json()
    assert done["revoked"] == [whole.prefix]
    assert [each["state"] for each in done["keys"]] == ["revoked", "active"]
    assert admin.post(f"{KEYS}/leaked", {"text": text, "revoke": "all"}).json()["revoked"] == [bare.prefix]
    world.problem(admin.post(f"{KEYS}/leaked", {"text": "x " * 2**21}), 413, "too-large")


# --- service accounts -----------------------------------------------------------------------------------


def test_a_service_account_is_made_handed_over_and_closed(admin: APIClient, alice: User) -> None:
    said = {"area": "default", "name": "nightly", "owner": "alice", "groups": ["support"]}
    made = admin.post(ACCOUNTS, said)
    assert made.status_code == 201, made.content
    body = made.json()
    assert (body["owner"], body["groups"], body["is_active"]) == ("alice", ["support"], True)
    people.person("bob")
    one = f"{ACCOUNTS}/{body['id']}"
    assert admin.patch(one, {"owner": "bob", "is_active": False}).json()["owner"] == "bob"
    assert admin.patch(one, {"groups": []}).json()["groups"] == []
    row = ServiceAccount.objects.get()
    assert (row.owner.username, row.is_active) == ("bob", False)
    assert [each["name"] for each in admin.get(ACCOUNTS).json()["results"]] == ["nightly"]
    for wrong in ({"owner": "nobody"}, {"groups": ["none"]}, {"name": "Not a slug"}):
        world.problem(admin.post(ACCOUNTS, {**said, "name": "other", **wrong}), 422, "refused")
    world.problem(admin.post(ACCOUNTS, said), 422, "refused")


def test_an_administrator_of_an_area_stays_in_it(alice: User) -> None:
    there = account("bank", alice)
    client = signed_in(area_admin("clinic"))
    assert client.get(ACCOUNTS).json()["results"] == []
    world.problem(client.patch(f"{ACCOUNTS}/{there.pk}", {"owner": "bob"}), 404, "not-found")
    said = {"name": "nightly", "owner": "alice"}
    world.problem(client.post(ACCOUNTS, {**said, "area": "bank"}), 404, "not-found")
    everywhere = Group.objects.create(name="root")
    role_grant(group=everywhere, role="auditor", area=None, by=None)
    world.problem(client.post(ACCOUNTS, {**said, "area": "clinic", "groups": ["root"]}), 422, "refused")
    made = client.post(ACCOUNTS, {**said, "area": "clinic", "groups": ["clinic admins"]})
    assert made.status_code == 201
    world.problem(client.patch(f"{ACCOUNTS}/{made.json()['id']}", {"groups": ["root"]}), 422, "refused")
    assert Area.objects.get(slug="bank").service_accounts.get() == there


def test_nobody_else_sees_or_makes_service_accounts(alice: User) -> None:
    client = signed_in(alice)
    world.problem(client.get(ACCOUNTS), 403, "not-allowed")
    world.problem(client.post(ACCOUNTS, {}), 403, "not-allowed")


def test_all_of_it_is_described() -> None:
    paths = description()["paths"]
    for path in ("/keys", "/keys/leaked", "/keys/{id}/rotate", "/keys/{id}/revoke", "/service-accounts"):
        assert f"/api/v1{path}" in paths, sorted(paths)
