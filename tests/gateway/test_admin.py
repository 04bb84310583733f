"""The admin: secrets go in and never come out, changes are events, and nobody rises by editing."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import Entry
from gateway.credentials.services import credential_current, credential_reveal_for_origin, endpoint_attach
from gateway.identity.authz import role_grant
from gateway.identity.keys import digest
from gateway.identity.personal import personal_key_create
from gateway.models import AccessRule, ApiKey, Credential, Endpoint, Lock, SignIn, User
from tests.gateway import world

pytestmark = pytest.mark.django_db

CANARY = "sk-canary-0123456789"


@pytest.fixture
def client() -> Client:
    browser = Client()
    browser.force_login(world.admin())
    return browser


def url(model: str, page: str, *args: object) -> str:
    return reverse(f"admin:gateway_{model}_{page}", args=args)


def latest_event() -> dict[str, Any]:
    entry = Entry.objects.filter(kind="event").order_by("-sequence").first()
    assert entry is not None
    return json.loads(bytes(entry.meta))  # type: ignore[no-any-return]


def form_of(page: str) -> dict[str, str]:
    """The values that a browser would post back from an endpoint's or credential's page."""
    values: dict[str, str] = {}
    for tag in re.findall(r"<input [^>]*>", page):
        name, value = re.search(r'name="([^"]+)"', tag), re.search(r'value="([^"]*)"', tag)
        if name and 'type="checkbox"' not in tag and 'type="submit"' not in tag:
            values[name[1]] = value[1] if value else ""
        elif name and "checked" in tag:
            values[name[1]] = "on"
    for name, body in re.findall(r'<select name="([^"]+)".*?>(.*?)</select>', page, re.S):
        chosen = re.search(r'<option value="([^"]*)" selected', body)
        values[name] = chosen[1] if chosen else ""
    return values


@pytest.mark.parametrize(
    "model",
    ["area", "user", "serviceaccount", "apikey", "lock", "endpoint", "credential", "accessrule"],
)
def test_every_list_and_form_opens(client: Client, model: str) -> None:
    for page in ("changelist", "add"):
        assert client.get(url(model, page)).status_code == 200


def test_a_new_key_is_shown_once_and_kept_nowhere(client: Client) -> None:
    alice = world.person("alice")
    expires = timezone.now() + timedelta(days=30)
    answer = client.post(
        url("apikey", "add"),
        {
            "name": "laptop",
            "user": str(alice.pk),
            "service_account": "",
            "declared_level": 1,
            "expires_at_0": expires.strftime("%Y-%m-%d"),
            "expires_at_1": "12:00:00",
        },
    )
    shown = re.search(r"pst_\w{8}_\w{43}", answer.content.decode())
    assert shown is not None, answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    row = ApiKey.objects.get()
    assert bytes(row.digest) == digest(shown[0])
    assert row.created_by is not None and row.created_by.username == "ada"
    assert row.declared_level == 1
    assert latest_event()["event"] == "api_key.created"
    for page in (url("apikey", "change", row.pk), url("apikey", "changelist")):
        text = client.get(page).content.decode()
        assert row.prefix in text and shown[0] not in text


def test_a_key_that_lives_too_long_is_refused_with_the_reason(client: Client) -> None:
    answer = client.post(
        url("apikey", "add"),
        {
            "name": "x",
            "user": str(world.person("alice").pk),
            "expires_at_0": "2099-01-01",
            "expires_at_1": "0:00",
        },
    )
    assert b"must expire within" in answer.content
    assert not ApiKey.objects.exists()


def test_a_key_without_an_owner_is_refused_with_the_reason(client: Client) -> None:
    expires = (timezone.now() + timedelta(days=3)).strftime("%Y-%m-%d")
    answer = client.post(url("apikey", "add"), {"name": "x", "expires_at_0": expires, "expires_at_1": "0:00"})
    assert b"either a person or a service account" in answer.content


def test_a_key_is_revoked_by_a_post(client: Client) -> None:
    row, _ = world.key_of(world.person("alice"))
    revoke = url("apikey", "revoke", row.pk)
    assert client.get(revoke).status_code == 405
    assert revoke in client.get(url("apikey", "change", row.pk)).content.decode()
    client.post(revoke)
    row.refresh_from_db()
    assert row.revoked_at is not None
    assert latest_event()["event"] == "api_key.revoked"


def test_buttons_want_a_token() -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(world.admin())
    row, _ = world.key_of(world.person("alice"))
    assert strict.post(url("apikey", "revoke", row.pk)).status_code == 403


def test_a_secret_goes_in_and_never_comes_out(client: Client) -> None:
    values = {"name": "key", "area": str(world.area().pk), "origin": world.ORIGIN, "header": "Authorization"}
    client.post(
        url("credential", "add"), {**values, "placement": "header", "scheme": "Bearer", "secret": CANARY}
    )
    credential = Credential.objects.get()
    version = credential_current(credential=credential)
    assert credential_reveal_for_origin(version=version, origin=world.ORIGIN).reveal() == CANARY
    page = client.get(url("credential", "change", credential.pk)).content.decode()
    assert CANARY not in page
    bad = client.post(
        url("credential", "change", credential.pk), {**form_of(page), "name": "", "secret": CANARY}
    )
    assert bad.status_code == 200 and CANARY not in bad.content.decode()
    assert CANARY not in str([bytes(entry.meta) for entry in Entry.objects.all()])


def test_saving_without_a_secret_keeps_the_one_there(client: Client) -> None:
    values = {"name": "key", "area": str(world.area().pk), "origin": world.ORIGIN, "header": "x-api-key"}
    values["placement"] = "header"
    client.post(url("credential", "add"), {**values, "scheme": "", "secret": CANARY})
    credential = Credential.objects.get()
    page = client.get(url("credential", "change", credential.pk)).content.decode()
    client.post(url("credential", "change", credential.pk), {**form_of(page), "name": "renamed"})
    credential.refresh_from_db()
    assert credential.name == "renamed"
    assert credential_current(credential=credential).number == 1


def test_a_new_credential_needs_a_secret(client: Client) -> None:
    values = {"name": "key", "area": str(world.area().pk), "origin": world.ORIGIN, "header": "Authorization"}
    answer = client.post(url("credential", "add"), values)
    assert b"Enter the secret." in answer.content


def test_changing_a_credentials_origin_wipes_it(client: Client) -> None:
    credential = world.credential()
    endpoint = world.endpoint()
    endpoint_attach(endpoint=endpoint, credential=credential, by=None)
    page = client.get(url("credential", "change", credential.pk)).content.decode()
    client.post(
        url("credential", "change", credential.pk), {**form_of(page), "origin": "https://new.example.com"}
    )
    endpoint.refresh_from_db()
    assert endpoint.credential is None


def test_changing_an_endpoints_origin_detaches_its_credential_and_says_so(client: Client) -> None:
    credential, endpoint = world.credential(), world.endpoint()
    endpoint_attach(endpoint=endpoint, credential=credential, by=None)
    page = client.get(url("endpoint", "change", endpoint.pk)).content.decode()
    answer = client.post(
        url("endpoint", "change", endpoint.pk),
        {**form_of(page), "origin": "https://new.example.com"},
        follow=True,
    )
    endpoint.refresh_from_db()
    assert (endpoint.origin, endpoint.credential) == ("https://new.example.com", None)
    assert b"is detached" in answer.content
    assert "endpoint.moved" in str([bytes(entry.meta) for entry in Entry.objects.all()])


def test_an_endpoint_takes_no_credential_of_another_origin(client: Client) -> None:
    endpoint = world.endpoint()
    other = world.credential("other", origin="https://other.example.com")
    page = client.get(url("endpoint", "change", endpoint.pk)).content.decode()
    answer = client.post(
        url("endpoint", "change", endpoint.pk), {**form_of(page), "credential": str(other.pk)}
    )
    assert b"is sealed for https://other.example.com" in answer.content
    assert Endpoint.objects.get().credential is None


def test_every_change_is_an_event_that_names_fields_and_no_values(client: Client) -> None:
    endpoint = world.endpoint()
    page = client.get(url("endpoint", "change", endpoint.pk)).content.decode()
    client.post(url("endpoint", "change", endpoint.pk), {**form_of(page), "name": "Renamed"})
    event = latest_event()
    assert (event["event"], event["by"]["subject"]) == ("endpoint.changed", "local:ada")
    assert event["detail"]["fields"] == ["name"]


def test_an_access_rule_is_added(client: Client) -> None:
    group = Group.objects.create(name="support")
    values = {
        "group": str(group.pk),
        "endpoint": str(world.endpoint().pk),
        "policy": str(world.published_policy().pk),
        "priority": "100",
        "allowed_models": "small, large",
        "enabled": "on",
    }
    client.post(url("accessrule", "add"), values)
    assert AccessRule.objects.get().allowed_models == ["small", "large"]


def test_a_lock_is_set_and_lifted_and_its_reason_is_scrubbed(client: Client) -> None:
    alice = world.person("alice")
    client.post(url("lock", "add"), {"user": str(alice.pk), "reason": "alice@example.com lost it"})
    lock = Lock.objects.get()
    assert lock.is_active_at(timezone.now())
    assert (latest_event()["event"], latest_event()["note"]) == ("lock.set", "[EMAIL] lost it")
    client.post(url("lock", "lift", lock.pk))
    lock.refresh_from_db()
    assert not lock.is_active_at(timezone.now())


@pytest.mark.parametrize("target", ["api_key", "group", "everything"])
def test_every_target_is_locked_from_the_form(client: Client, target: str) -> None:
    alice = world.person("alice", group="support")
    key, _ = world.key_of(alice)
    values = {"api_key": str(key.pk), "group": str(alice.groups.get().pk), "everything": "on"}
    client.post(url("lock", "add"), {target: values[target], "reason": "incident"})
    assert Lock.objects.get().target_kind == target
    assert "incident" in client.get(url("lock", "changelist")).content.decode()


def test_a_lock_on_two_things_or_on_nothing_is_no_lock(client: Client) -> None:
    alice = world.person("alice")
    for chosen in ({}, {"user": str(alice.pk), "everything": "on"}):
        page = client.post(url("lock", "add"), {**chosen, "reason": "incident"}).content.decode()
        assert "Choose one of these, or everything." in page
    assert not Lock.objects.exists()


def test_an_operator_of_one_area_locks_lifts_and_sees_what_lies_in_it() -> None:
    group = Group.objects.create(name="operators")
    role_grant(group=group, role="operator", by=None, area=world.area("ward"))
    olga = world.person("olga", is_staff=True)
    olga.groups.add(group)
    browser = Client()
    browser.force_login(olga)
    ours = world.endpoint("chat", area=world.area("ward"))
    theirs = world.endpoint("mice", area=world.area("lab"))
    for chosen in ({"everything": "on"}, {"user": str(olga.pk)}, {"endpoint": str(theirs.pk)}):
        page = browser.post(url("lock", "add"), {**chosen, "reason": "incident"}).content.decode()
        assert "outside the areas" in page or "Select a valid choice" in page
    assert not Lock.objects.exists()
    other = Lock.objects.create(endpoint=theirs, reason="secret trouble")
    browser.post(url("lock", "add"), {"endpoint": str(ours.pk), "reason": "incident"})
    assert "secret trouble" not in browser.get(url("lock", "changelist")).content.decode()
    assert browser.post(url("lock", "lift", other.pk)).status_code == 404
    lock = Lock.objects.get(endpoint=ours)
    browser.post(url("lock", "lift", lock.pk))
    lock.refresh_from_db()
    assert lock.lifted_by == olga


def test_an_administrator_does_not_rise_by_editing() -> None:
    root = world.admin()
    group = Group.objects.create(name="admins")
    role_grant(group=group, role="admin", by=None)
    eve = world.person("eve", is_staff=True)
    eve.groups.add(group)
    browser = Client()
    browser.force_login(eve)
    own = url("user", "change", eve.pk)
    page = browser.get(own).content.decode()
    permission = Permission.objects.get(codename="publish_policyversion")
    browser.post(
        own,
        {**form_of(page), "is_superuser": "on", "user_permissions": [permission.pk], "groups": [group.pk]},
    )
    eve = User.objects.get(pk=eve.pk)
    assert not eve.is_superuser and not eve.user_permissions.exists()
    assert browser.post(url("user", "change", root.pk), {"username": "mine"}).status_code == 403
    change_group = reverse("admin:auth_group_change", args=[group.pk])
    browser.post(change_group, {"name": "admins", "permissions": [permission.pk]})
    assert permission not in group.permissions.all()
    assert browser.post(url("user", "delete", root.pk)).status_code == 403


def test_somebody_without_permission_gets_nowhere() -> None:
    browser = Client()
    browser.force_login(world.person("carol", is_staff=True))
    row, _ = world.key_of(world.person("alice"))
    assert browser.get(url("apikey", "changelist")).status_code == 403
    assert browser.post(url("apikey", "revoke", row.pk)).status_code == 403
    row.refresh_from_db()
    assert row.revoked_at is None


def test_a_password_that_is_set_for_somebody_ends_what_the_old_one_opened(client: Client) -> None:
    bob, new = world.person("bob"), "a long password of bob"
    theirs = Client()
    theirs.force_login(bob)
    key = personal_key_create(user=bob, by=bob)[0]
    page = reverse("admin:auth_user_password_change", args=[bob.pk])
    form = {"password1": new, "password2": new, "usable_password": "true"}
    assert client.post(page, form | {"password2": "another"}).status_code == 200
    key.refresh_from_db()
    assert key.revoked_at is None
    assert client.post(page, form).status_code == 302
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert SignIn.objects.get(user=bob).ended_because == "new password"
    assert client.get("/account/").status_code == 200


@pytest.mark.parametrize("typed", ["\u00c9mile", "E\u0301mile", "\u00e9mile"])
def test_a_name_that_differs_by_case_alone_is_not_given_twice(client: Client, typed: str) -> None:
    world.person("\u00e9mile")
    form = {"username": typed, "usable_password": "false"}
    page = client.post("/admin/gateway/user/add/", form).content.decode()
    assert "user name exists" in page or "username already exists" in page
    assert User.objects.filter(username__endswith="mile").count() == 1
