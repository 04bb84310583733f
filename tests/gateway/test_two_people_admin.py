"""The admin where an area takes two people: forms propose, and no button, list or deletion goes around it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import Entry
from gateway.access_rules import access_rule_save
from gateway.areas import FLAGS
from gateway.credentials.services import endpoint_delete, endpoint_save
from gateway.identity.membership import group_delete, membership_set
from gateway.models import (
    AccessRule,
    Area,
    Endpoint,
    MembershipChange,
    PermissionChange,
    ServiceAccount,
    User,
)
from policies.grants import NeedsSecondPerson
from policies.history import history_of
from policies.models import PolicyVersion, Proposal, SchemaVersion, State
from policies.proposals import propose
from policies.services import schema_version_clone_to_draft, schema_version_publish
from tests.gateway import two, world
from tests.gateway.test_admin import form_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    """Holds every permission, and is one person all the same."""
    return world.admin()


@pytest.fixture
def client(ada: User) -> Client:
    browser = Client()
    browser.force_login(ada)
    return browser


def url(app: str, model: str, page: str, *args: object) -> str:
    return reverse(f"admin:{app}_{model}_{page}", args=args)


def gateway(model: str, page: str, *args: object) -> str:
    return url("gateway", model, page, *args)


def events() -> list[str]:
    return [json.loads(bytes(entry.meta))["event"] for entry in Entry.objects.order_by("sequence")]


def stored_rule() -> AccessRule:
    rule = two.rule(world.endpoint(), world.published_policy())
    rule.save()
    return rule


def rule_form(rule: AccessRule, **values: object) -> dict[str, object]:
    return {
        "group": rule.group_id,
        "endpoint": rule.endpoint_id,
        "policy": rule.policy_id,
        "priority": rule.priority,
        "enabled": "on",
        **values,
    }


def test_adding_an_access_rule_proposes_it(client: Client) -> None:
    rule = two.rule(world.endpoint(), world.published_policy())
    two.guarded()
    answer = client.post(gateway("accessrule", "add"), rule_form(rule, reason="support needs it"))
    proposal = Proposal.objects.get()
    assert answer["Location"] == reverse("proposal", args=[proposal.pk])
    assert (proposal.kind, proposal.reason) == ("access_rule.add", "support needs it")
    assert not AccessRule.objects.exists()
    two.confirm(proposal, two.official("bob"))
    assert AccessRule.objects.get().group == rule.group


def test_changing_an_access_rule_proposes_what_differs(client: Client) -> None:
    rule = stored_rule()
    two.guarded()
    page = gateway("accessrule", "change", rule.pk)
    refused = client.post(page, rule_form(rule, priority=7)).content.decode()
    assert "This takes two people in this area" in refused
    client.post(page, rule_form(rule, priority=7, reason="before the others"))
    assert Proposal.objects.get().payload == {"priority": 7}
    assert AccessRule.objects.get().priority == rule.priority


def test_an_access_rule_is_not_deleted_but_proposed_to_be(client: Client) -> None:
    rule = stored_rule()
    two.guarded()
    assert client.post(gateway("accessrule", "delete", rule.pk), {"post": "yes"}).status_code == 403
    bulk = {"action": "delete_selected", "_selected_action": [str(rule.pk)], "post": "yes"}
    client.post(gateway("accessrule", "changelist"), bulk)
    assert AccessRule.objects.exists()
    page = client.get(gateway("accessrule", "change", rule.pk)).content.decode()
    assert reverse("proposal_new", args=["access_rule.delete", rule.pk]) in page


@pytest.mark.parametrize("holder", ["group", "endpoint"])
@pytest.mark.parametrize("bulk", [False, True])
def test_a_deletion_does_not_take_a_guarded_rule_along(client: Client, holder: str, bulk: bool) -> None:
    rule = stored_rule()
    two.guarded()
    owner = getattr(rule, holder)
    app = "auth" if holder == "group" else "gateway"
    if bulk:
        data = {"action": "delete_selected", "_selected_action": [str(owner.pk)], "post": "yes"}
        client.post(url(app, holder, "changelist"), data)
    else:
        page = client.get(url(app, holder, "delete", owner.pk)).content.decode()
        assert "Propose first to delete what takes two people" in page
        assert client.post(url(app, holder, "delete", owner.pk), {"post": "yes"}).status_code == 403
    assert AccessRule.objects.filter(pk=rule.pk).exists()
    assert type(owner).objects.filter(pk=owner.pk).exists()


@pytest.mark.parametrize("holder", ["group", "endpoint"])
@pytest.mark.parametrize("bulk", [False, True])
def test_where_one_person_is_enough_the_rules_go_along_on_record(
    client: Client, ada: User, holder: str, bulk: bool
) -> None:
    rule = stored_rule()
    owner = getattr(rule, holder)
    app = "auth" if holder == "group" else "gateway"
    if bulk:
        data = {"action": "delete_selected", "_selected_action": [str(owner.pk)], "post": "yes"}
        client.post(url(app, holder, "changelist"), data)
    else:
        client.post(url(app, holder, "delete", owner.pk), {"post": "yes"})
    assert not type(owner).objects.filter(pk=owner.pk).exists()
    assert events()[-2:] == ["access_rule.deleted", f"{holder}.deleted"]
    gone = history_of(AccessRule).filter(id=rule.pk, history_type="-").get()
    assert gone.history_user_id == ada.pk


def test_the_services_that_delete_ask_for_a_second_person(ada: User) -> None:
    rule = stored_rule()
    two.guarded()
    with pytest.raises(NeedsSecondPerson):
        group_delete(group=rule.group, by=ada)
    with pytest.raises(NeedsSecondPerson):
        endpoint_delete(endpoint=rule.endpoint, by=ada)
    assert AccessRule.objects.filter(pk=rule.pk).exists()


def test_a_group_that_is_deleted_is_left_by_everybody_on_record(ada: User) -> None:
    group = Group.objects.create(name="ward")
    robot = ServiceAccount.objects.create(area=world.area(), name="robot", owner=ada)
    for member in (ada, robot):
        membership_set(member=member, groups=[group], by=None)
    group_delete(group=group, by=ada)
    left = MembershipChange.objects.filter(joined=False)
    assert {(row.member, row.group, row.changed_by_id) for row in left} == {
        ("ada", "ward", ada.pk),
        ("robot", "ward", ada.pk),
    }


def test_needing_two_since_the_page_was_shown_is_said_and_nothing_saved(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = stored_rule()
    two.guarded()
    monkeypatch.setattr("gateway.admin.access_rule.access_needs_two", lambda rule, stored: False)
    page = gateway("accessrule", "change", rule.pk)
    for path, data in (
        (page, rule_form(rule, priority=7)),
        (gateway("accessrule", "delete", rule.pk), {"post": "yes"}),
        (
            gateway("accessrule", "changelist"),
            {"action": "delete_selected", "_selected_action": [str(rule.pk)], "post": "yes"},
        ),
    ):
        answer = client.post(path, data, follow=True)
        assert "Access rules take two people in this area" in answer.content.decode(), path
    assert AccessRule.objects.get().priority == rule.priority


def test_an_origin_stays_until_it_is_confirmed_and_the_rest_is_saved(client: Client) -> None:
    endpoint = world.endpoint()
    two.guarded()
    page = gateway("endpoint", "change", endpoint.pk)
    form = form_of(client.get(page).content.decode())
    moved = {**form, "name": "Renamed", "origin": "https://elsewhere.example.com", "reason": "new host"}
    client.post(page, moved)
    endpoint.refresh_from_db()
    assert (endpoint.name, endpoint.origin) == ("Renamed", world.ORIGIN)
    two.confirm(Proposal.objects.get(), two.official("bob"))
    endpoint.refresh_from_db()
    assert endpoint.origin == "https://elsewhere.example.com"


def test_a_new_endpoint_is_proposed(client: Client) -> None:
    area = two.guarded()
    page = gateway("endpoint", "add")
    form = form_of(client.get(page).content.decode())
    new = {**form, "name": "New", "slug": "new", "area": area.pk, "origin": world.ORIGIN, "reason": "try it"}
    client.post(page, new)
    assert not Endpoint.objects.exists()
    two.confirm(Proposal.objects.get(), two.official("bob"))
    assert Endpoint.objects.get().slug == "new"


@pytest.mark.parametrize("name", ["area", "slug"])
def test_an_endpoint_does_not_leave_its_area_or_its_address(name: str) -> None:
    endpoint = world.endpoint()
    two.guarded()
    setattr(endpoint, name, world.area("free") if name == "area" else "other")
    with pytest.raises(Exception, match="keeps its area and its slug"):
        endpoint_save(endpoint=endpoint, by=None)


def test_an_area_lets_go_of_nothing_by_one_person(client: Client) -> None:
    area = two.guarded()
    page = gateway("area", "change", area.pk)
    client.post(page, {"name": "Renamed", "reason": "too slow"})
    area.refresh_from_db()
    assert area.name == "Renamed" and all(getattr(area, flag) for flag in FLAGS)
    two.confirm(Proposal.objects.get(), two.official("bob"))
    area.refresh_from_db()
    assert not any(getattr(area, flag) for flag in FLAGS)


def _publish() -> tuple[str, SchemaVersion, str]:
    return "schemaversion", world.draft_schema(), "publish"


def _publish_policy() -> tuple[str, PolicyVersion, str]:
    return "policyversion", world.draft_policy(world.published_schema()), "publish"


def _roll_back() -> tuple[str, SchemaVersion, str]:
    first = world.published_schema().versions.get()
    schema_version_publish(version=schema_version_clone_to_draft(version=first, by=None), by=None)
    first.refresh_from_db()
    return "schemaversion", first, "rollback"


@pytest.mark.parametrize("way", [_publish, _publish_policy, _roll_back])
def test_no_button_puts_a_version_in_force_alone(
    client: Client, way: Callable[[], tuple[str, SchemaVersion | PolicyVersion, str]]
) -> None:
    model, version, tool = way()
    two.guarded()
    state = version.state
    page = client.get(url("policies", model, "change", version.pk)).content.decode()
    button = url("policies", model, tool, version.pk)
    assert f'action="{button}"' not in page
    kind = f"{model.removesuffix('version')}.{tool}"
    assert reverse("proposal_new", args=[kind, version.pk]) in page
    said = client.post(button, follow=True).content.decode()
    assert "Publishing needs two people in this area" in said
    version.refresh_from_db()
    assert version.state == state and version.state != State.PUBLISHED


def test_no_list_of_the_admin_is_edited_in_place() -> None:
    from django.contrib import admin

    assert [each for each, site in admin.site._registry.items() if site.list_editable] == []


@pytest.mark.parametrize("model", [AccessRule, Endpoint, Area])
def test_what_takes_two_is_no_inline_of_anything(model: type) -> None:
    from django.contrib import admin

    inlined = {inline.model for site in admin.site._registry.values() for inline in site.inlines}
    assert model not in inlined


def test_what_a_group_and_a_person_were_given_and_lost_is_on_record(client: Client, ada: User) -> None:
    group, alice = Group.objects.create(name="ward"), world.person("alice")
    wanted = Permission.objects.get(codename="confirm_access")
    client.post(url("auth", "group", "change", group.pk), {"name": "ward", "permissions": [wanted.pk]})
    client.post(url("auth", "group", "change", group.pk), {"name": "ward", "permissions": []})
    told = [(row.holder, row.given, row.taken, row.changed_by_id) for row in PermissionChange.objects.all()]
    code = "policies.confirm_access"
    assert told == [("ward", [], [code], ada.pk), ("ward", [code], [], ada.pk)]
    assert not group.permissions.exists()
    page = gateway("user", "change", alice.pk)
    form = form_of(client.get(page).content.decode())

    answer = client.post(page, {**form, "groups": [], "user_permissions": [wanted.pk]})
    assert answer.status_code == 302, answer.context["errors"]
    assert list(alice.user_permissions.all()) == [wanted]
    assert PermissionChange.objects.first().holder == "alice"  # type: ignore[union-attr]


def test_a_rule_that_one_person_may_change_is_changed(client: Client) -> None:
    rule = stored_rule()
    client.post(gateway("accessrule", "change", rule.pk), rule_form(rule, priority=7))
    assert AccessRule.objects.get().priority == 7
    access_rule_save(rule=AccessRule.objects.get(), by=None)
    assert not Proposal.objects.exists()


def test_a_draft_that_says_when_takes_effect_then(ada: User) -> None:
    draft, moment = world.draft_schema(), timezone.now() + timedelta(days=3)
    SchemaVersion.objects.filter(pk=draft.pk).update(effective_at=moment)
    two.guarded()
    proposal = propose(kind="schema.publish", target_id=draft.pk, payload={}, by=ada, reason="x")
    assert ["Takes effect", "–", f"{moment:%d %b %Y %H:%M} UTC"] in proposal.shown
    two.confirm(proposal, two.official("bob"))
    draft.refresh_from_db()
    assert (draft.state, draft.effective_at) == (State.PUBLISHED, moment)


def test_an_endpoint_saved_as_it_was_is_no_line_of_the_timeline(client: Client) -> None:
    endpoint = world.endpoint()
    page = gateway("endpoint", "change", endpoint.pk)
    client.post(page, form_of(client.get(page).content.decode()))
    assert history_of(Endpoint).filter(id=endpoint.pk).count() == 1
