"""Directories, and what they keep, in the admin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from gateway.identity.authz import role_grant
from gateway.models import AccessRule, DirectoryGroup, DirectoryToken, DirectoryUser, User
from tests.gateway import world as console
from tests.scim import world
from tests.scim.world import Pushing

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> Client:
    """An administrator everywhere, and no superuser."""
    person = console.person("ada", group="admins", is_staff=True)
    role_grant(group=Group.objects.get(name="admins"), role="admin", by=None)
    return signed_in(person)


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def at(name: str, *args: Any) -> str:
    return reverse(f"admin:{name}", args=args)


def until(days: int = 30) -> dict[str, str]:
    moment = timezone.now() + timedelta(days=days)
    return {"expires_at_0": f"{moment:%Y-%m-%d}", "expires_at_1": f"{moment:%H:%M:%S}"}


def test_a_token_is_made_shown_once_and_works(ada: Client) -> None:
    issuer = world.issuer()
    made = ada.post(at("gateway_directorytoken_add"), {"name": "Entra", "issuer": issuer.pk, **until()})
    assert made.status_code == 200
    assert "no-store" in made["Cache-Control"]
    token = made.context["plain_token"]
    assert token in made.content.decode()
    assert "http://testserver/scim/v2" in made.content.decode()
    Pushing(token).person("alice")
    row = DirectoryToken.objects.get()
    page = ada.get(at("gateway_directorytoken_change", row.pk)).content.decode()
    assert token not in page
    assert row.prefix in page
    listed = ada.get(at("gateway_directorytoken_changelist")).content.decode()
    assert "Entra" in listed and "Active" in listed


def test_a_token_that_would_live_too_long_is_refused_in_words(ada: Client) -> None:
    page = ada.post(at("gateway_directorytoken_add"), {"name": "Entra", **until(400)})
    assert "must expire within 366 days" in page.content.decode()
    assert not DirectoryToken.objects.exists()


def test_a_token_is_replaced_and_revoked(ada: Client) -> None:
    row, token = world.directory()
    page = ada.post(at("gateway_directorytoken_replace", row.pk))
    fresh = page.context["plain_token"]
    assert (Pushing(token).call("GET", "/Users")[0], Pushing(fresh).call("GET", "/Users")[0]) == (401, 200)
    assert ada.get(at("gateway_directorytoken_replace", row.pk)).status_code == 405
    ada.post(at("gateway_directorytoken_revoke", row.pk))
    assert Pushing(fresh).call("GET", "/Users")[0] == 401


def test_whoever_is_administrator_of_one_area_has_no_say_in_directories() -> None:
    row, _ = world.directory()
    bob = console.person("bob", group="locals", is_staff=True)
    role_grant(group=Group.objects.get(name="locals"), role="admin", by=None, area=console.area())
    client = signed_in(bob)
    for url in (
        at("gateway_directorytoken_changelist"),
        at("gateway_directorytoken_add"),
        at("gateway_directorytoken_change", row.pk),
        at("gateway_directoryuser_add"),
        at("gateway_directorygroup_changelist"),
    ):
        assert client.get(url).status_code == 403, url
    for tool in ("revoke", "replace"):
        assert client.post(at(f"gateway_directorytoken_{tool}", row.pk)).status_code in (403, 404)
    row.refresh_from_db()
    assert row.revoked_at is None


def test_a_person_is_handed_over_and_taken_back(ada: Client) -> None:
    row, _ = world.directory()
    alice, root = console.person("alice"), console.admin("root")
    page = ada.post(at("gateway_directoryuser_add"), {"user": root.pk, "directory": row.pk})
    assert "A superuser is kept by hand" in page.content.decode()
    ada.post(at("gateway_directoryuser_add"), {"user": alice.pk, "directory": row.pk})
    assert DirectoryUser.objects.get().user == alice
    assert "alice" in ada.get(at("gateway_directoryuser_changelist")).content.decode()
    assert ada.get(at("gateway_directoryuser_change", alice.pk)).status_code == 200

    page = ada.get(at("gateway_user_change", alice.pk)).content.decode()
    assert "Directory: Entra" in page
    assert 'name="username"' not in page
    changed = ada.post(
        at("gateway_user_change", alice.pk), {"username": "mallory", "groups": [], **inlines()}
    )
    assert changed.status_code == 302
    assert User.objects.get(pk=alice.pk).username == "alice"

    assert ada.post(at("gateway_directoryuser_delete", alice.pk), {"post": "yes"}).status_code == 302
    assert User.objects.filter(pk=alice.pk).exists()
    assert not DirectoryUser.objects.exists()


def inlines() -> dict[str, str]:
    return {"identities-TOTAL_FORMS": "0", "identities-INITIAL_FORMS": "0"}


def test_a_directorys_group_is_not_changed_by_hand(ada: Client) -> None:
    _, token = world.directory()
    entra = Pushing(token)
    alice = entra.person("alice")
    ward = entra.group("Ward", alice["id"])
    bob = console.person("bob")
    page = ada.post(
        at("gateway_user_change", bob.pk), {"username": "bob", "groups": [ward["id"]], **inlines()}
    )
    assert "The directory Entra keeps the group Ward" in page.content.decode()
    assert not bob.groups.exists()
    assert ada.post(at("auth_group_delete", ward["id"]), {"post": "yes"}).status_code == 403
    ada.post(at("auth_group_change", ward["id"]), {"name": "Mine"})
    assert Group.objects.get(pk=ward["id"]).name == "Ward"
    listed = {"action": "delete_selected", "_selected_action": [ward["id"]], "post": "yes"}
    ada.post(at("auth_group_changelist"), listed, follow=True)
    assert Group.objects.filter(pk=ward["id"]).exists()


def test_a_group_is_declared_granted_and_handed_over_before_anybody_is_in_it(ada: Client) -> None:
    row, token = world.directory()
    assert ada.post(at("auth_group_add"), {"name": "Ward"}).status_code == 302
    group = Group.objects.get(name="Ward")
    rule = AccessRule.objects.create(
        group=group, endpoint=console.endpoint(), policy=console.published_policy()
    )
    role_grant(group=group, role="reviewer", by=None)
    page = ada.get(at("auth_group_change", group.pk)).content.decode()
    assert "Nobody yet" in page
    assert at("gateway_accessrule_change", rule.pk) in page
    assert "Reviewer in every area" in page

    assert (
        ada.post(at("gateway_directorygroup_add"), {"group": group.pk, "directory": row.pk}).status_code
        == 302
    )
    assert DirectoryGroup.objects.get().group == group
    entra = Pushing(token)
    alice = entra.person("alice")
    entra.patch(f"/Groups/{group.pk}", {"op": "add", "path": "members", "value": [{"value": alice["id"]}]})
    page = ada.get(at("auth_group_change", group.pk)).content.decode()
    assert "1 × Directory (SCIM)" in page
    listed = ada.get(at("auth_group_changelist")).content.decode()
    assert "Directory: Entra" in listed


def test_pages_say_what_to_do_where_there_is_nothing(ada: Client) -> None:
    for name in ("directorytoken", "directoryuser", "directorygroup"):
        assert ada.get(at(f"gateway_{name}_changelist")).status_code == 200
