"""Keys and service accounts in the admin: scope, rotation, reasons, owners, and the wall between areas."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from gateway.identity import keys
from gateway.identity.authz import role_grant
from gateway.identity.keys import api_key_create, digest
from gateway.models import ApiKey, Area, ServiceAccount, User
from tests.gateway import world

pytestmark = pytest.mark.django_db
ADD = reverse("admin:gateway_apikey_add")


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def client() -> Client:
    return signed_in(world.admin())


def form(**more: Any) -> dict[str, Any]:
    until = timezone.now() + timedelta(days=3)
    when = {"expires_at_0": f"{until:%Y-%m-%d}", "expires_at_1": "0:00"}
    return {"name": "job", **when, **more}


def shown_key(response: Any) -> str:
    found = set(re.findall(r"pst_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}", response.content.decode()))
    assert len(found) == 1 and "no-store" in response["Cache-Control"]
    return found.pop()


def url(row: ApiKey, page: str = "change") -> str:
    return reverse(f"admin:gateway_apikey_{page}", args=[row.pk])


def clinic_admin() -> User:
    bob = world.person("bob", group="clinic admins", is_staff=True)
    role_grant(group=bob.groups.get(), role="admin", area=world.area("clinic"), by=None)
    return bob


def program(area: str, *groups: Group) -> ServiceAccount:
    owner = User.objects.get_or_create(username="owner")[0]
    account = ServiceAccount.objects.create(area=world.area(area), name=f"job-{area}", owner=owner)
    account.groups.set(groups)
    return account


def test_a_key_is_made_with_a_scope(client: Client) -> None:
    alice = world.person("alice", group="support")
    world.endpoint("chat")
    scope = {
        "groups": [str(Group.objects.get().pk)],
        "endpoints": ["chat"],
        "allowed_models": "small, large",
        "networks": "10.0.0.0/8",
    }
    key = shown_key(client.post(ADD, form(user=str(alice.pk), **scope)))
    row = ApiKey.objects.get(digest=digest(key))
    assert row.group_ids == [Group.objects.get().pk] and row.allowed_endpoints == ["chat"]
    assert (row.allowed_models, row.networks) == (["small", "large"], ["10.0.0.0/8"])
    page = client.get(url(row)).content.decode()
    assert "only support" in page and "small, large" in page


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"networks": "here"}, "address ranges"),
        ({"endpoints": ["nowhere"]}, "not one of the available choices"),
        ({"name": "pst_abcdefgh_" + "a" * 43}, "looks like a key"),
        ({"groups": "strange"}, "alice is not in strange"),
    ],
)
def test_a_scope_that_makes_no_sense_is_told(client: Client, wrong: dict[str, Any], words: str) -> None:
    alice = world.person("alice")
    if "groups" in wrong:
        wrong = {"groups": [str(Group.objects.create(name="strange").pk)]}
    answer = client.post(ADD, form(user=str(alice.pk), **wrong))
    assert words in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_too_many_keys_are_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MOST", 0)
    answer = client.post(ADD, form(user=str(world.person("alice").pk)), follow=True)
    assert "living keys" in answer.content.decode()


def test_a_key_is_rotated_by_a_button(client: Client) -> None:
    row, _ = world.key_of(world.person("alice"))
    assert url(row, "rotate") in client.get(url(row)).content.decode()
    assert client.get(url(row, "rotate")).status_code == 405
    new = ApiKey.objects.get(digest=digest(shown_key(client.post(url(row, "rotate"), {"overlap": "1"}))))
    assert new.rotated_from == row
    again = client.post(url(row, "rotate"), {"overlap": "1"}, follow=True)
    assert new.prefix in again.content.decode()
    assert client.post(url(new, "rotate"), {"overlap": "99999"}).status_code == 403


def test_a_key_is_revoked_with_a_reason(client: Client) -> None:
    row, _ = world.key_of(world.person("alice"))
    assert client.post(url(row, "revoke"), {"because": "boredom"}).status_code == 403
    client.post(url(row, "revoke"), {"because": "left"})
    row.refresh_from_db()
    assert row.revoked_because == "left"
    assert url(row, "rotate") not in client.get(url(row)).content.decode()


def test_the_list_leads_to_the_answer_to_a_leak(client: Client) -> None:
    world.key_of(world.person("alice"))
    assert "/keys/leaked/" in client.get(reverse("admin:gateway_apikey_changelist")).content.decode()


def test_an_administrator_of_one_area_makes_keys_for_its_programs_only() -> None:
    alice = world.person("alice")
    here, there = program("clinic"), program("bank")
    client = signed_in(clinic_admin())
    for holder in ({"user": str(alice.pk)}, {"service_account": str(there.pk)}):
        client.post(ADD, form(**holder))
        assert not ApiKey.objects.exists()
    shown_key(client.post(ADD, form(service_account=str(here.pk))))


def test_nor_do_they_reach_over_the_wall_through_a_group() -> None:
    root = Group.objects.create(name="root")
    role_grant(group=root, role="auditor", area=None, by=None)
    here = program("clinic", root)
    bob = clinic_admin()
    client = signed_in(bob)
    answer = client.post(ADD, form(service_account=str(here.pk)))
    assert "beyond your areas: root" in answer.content.decode()
    until = timezone.now() + timedelta(days=3)
    row, _ = api_key_create(name="job", service_account=here, expires_at=until, by=None)
    assert client.post(url(row, "rotate"), {"overlap": "1"}).status_code == 403
    clinic = Area.objects.get(slug="clinic")
    made = {"area": str(clinic.pk), "name": "new", "owner": str(bob.pk), "is_active": "on"}
    answer = client.post(reverse("admin:gateway_serviceaccount_add"), {**made, "groups": [str(root.pk)]})
    assert "Select a valid choice" in answer.content.decode()
    assert not ServiceAccount.objects.filter(name="new").exists()


def test_an_account_is_handed_over_to_somebody_who_is_there(client: Client) -> None:
    account, bob = program("clinic"), world.person("bob")
    gone = world.person("gone", is_active=False)
    page = reverse("admin:gateway_serviceaccount_change", args=[account.pk])
    values = {"area": str(account.area_id), "name": account.name, "is_active": "on"}
    assert b"somebody who is active" in client.post(page, {**values, "owner": str(gone.pk)}).content
    assert client.post(page, {**values, "owner": str(bob.pk)}).status_code == 302
    account.refresh_from_db()
    assert account.owner == bob
