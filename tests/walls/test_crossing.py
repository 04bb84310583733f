"""Ways across a wall that no address shows: choices, filters, bulk actions, moves, proposals, programs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import Entry
from gateway.areas import area_save
from gateway.identity.authz import OwnGroup, role_grant
from gateway.identity.beyond import beyond
from gateway.identity.keys import api_key_create
from gateway.models import AccessRule, ApiKey, Area, Cut, Deployment, Lock, ServiceAccount, User
from gateway.scim import doors
from gateway.services import lock_lift
from policies import proposals
from policies.content import packed
from policies.grants import NeedsSecondPerson
from policies.models import Schema
from policies.proposals import NotAllowed
from tests.walls.world import CANARY, MINE, NONE, OTHER, STRAY, World

pytestmark = pytest.mark.django_db
ADMIN, EDITOR = f"admin {MINE}", f"policy_editor {MINE}"


@pytest.fixture
def world(db: None, monkeypatch: pytest.MonkeyPatch) -> World:
    cache.clear()
    monkeypatch.setattr(doors, "failures", doors.Failures())  # others may have tried in this process
    return World()


def browser(world: World, name: str) -> Client:
    client = Client()
    client.force_login(world.people[name])
    return client


def form(app: str, model: str, page: str, *args: Any) -> str:
    return reverse(f"admin:{app}_{model}_{page}", args=args)


# --- choices


@pytest.mark.parametrize(
    ("name", "app", "model"),
    [
        (ADMIN, "gateway", "endpoint"),
        (ADMIN, "gateway", "credential"),
        (ADMIN, "gateway", "accessrule"),
        (ADMIN, "gateway", "serviceaccount"),
        (ADMIN, "gateway", "rolegrant"),
        (EDITOR, "policies", "schema"),
        (EDITOR, "policies", "policy"),
    ],
)
def test_a_form_offers_nothing_of_the_other_area_and_takes_nothing(
    world: World, name: str, app: str, model: str
) -> None:
    client = browser(world, name)
    page = client.get(form(app, model, "add")).content.decode()
    assert "ward" in page.lower() and CANARY not in page.lower()
    there = world.at("gateway.area", OTHER)
    answer = client.post(form(app, model, "add"), {"area": there.pk, "name": "x", "slug": "x"})
    assert answer.status_code in (200, 403)
    assert CANARY not in answer.content.decode().lower()


def test_the_field_that_looks_names_up_finds_none_of_the_other_area(world: World) -> None:
    asked = {"app_label": "gateway", "model_name": "apikey", "field_name": "service_account", "term": ""}
    found = browser(world, ADMIN).get(reverse("admin:autocomplete"), asked).json()["results"]
    assert [each["text"] for each in found] == ["ward-robot"]
    asked |= {"field_name": "user"}
    assert browser(world, ADMIN).get(reverse("admin:autocomplete"), asked).status_code == 403
    assert browser(world, "nobody").get(reverse("admin:autocomplete"), asked).status_code == 403


def test_filters_offer_and_find_nothing_of_the_other_area(world: World) -> None:
    there = world.at("gateway.endpoint", OTHER)
    page = browser(world, ADMIN).get(form("gateway", "accessrule", "changelist"))
    assert CANARY not in page.content.decode().lower()
    query = {"endpoint__id__exact": there.pk}
    page = browser(world, ADMIN).get(form("gateway", "accessrule", "changelist"), query)
    assert CANARY not in page.content.decode().lower()


# --- doing


def test_a_bulk_action_reaches_only_rows_that_one_may_change(world: World) -> None:
    """Bob administers one area and only audits the other, so he sees both keys."""
    bob = world.people[ADMIN]
    group = Group.objects.create(name="auditors there")
    role_grant(group=group, role="auditor", area=world.at("gateway.area", OTHER), by=None)
    bob.groups.add(group)
    keys = [world.at("gateway.apikey", place) for place in (MINE, OTHER)]
    chosen = {"action": "revoke_selected", "_selected_action": [key.pk for key in keys]}
    browser(world, ADMIN).post(form("gateway", "apikey", "changelist"), chosen)
    assert [ApiKey.objects.get(pk=key.pk).revoked_at is not None for key in keys] == [True, False]
    tool = reverse("admin:gateway_apikey_revoke", args=[keys[1].pk])
    assert browser(world, ADMIN).post(tool).status_code == 403


def test_a_rule_is_not_moved_to_an_endpoint_of_the_other_area(world: World) -> None:
    rule, there = world.at("gateway.accessrule", MINE), world.at("gateway.endpoint", OTHER)
    values = {
        "group": rule.group_id,
        "endpoint": there.pk,
        "policy": world.at("policies.policy", OTHER).pk,
        "priority": 1,
    }
    answer = browser(world, ADMIN).post(form("gateway", "accessrule", "change", rule.pk), values)
    assert answer.status_code == 200  # the form again: there is no such choice
    assert AccessRule.objects.get(pk=rule.pk).endpoint_id == rule.endpoint_id


def test_nor_by_a_proposal_from_here_nor_by_one_from_there(world: World) -> None:
    """Whoever moves a rule answers for both areas."""
    rule = world.at("gateway.accessrule", MINE)
    Area.objects.update(two_person_access=True)
    moved = AccessRule.objects.get(pk=rule.pk)
    moved.endpoint, moved.policy = world.at("gateway.endpoint", OTHER), world.at("policies.policy", OTHER)
    moved.priority = 7
    payload = packed(moved, ("endpoint", "policy", "priority"))
    asked = {"kind": "access_rule.change", "target_id": rule.pk, "payload": payload, "reason": "to move it"}
    with pytest.raises(NotAllowed):
        proposals.propose(**asked, by=world.people[ADMIN])
    opened = proposals.propose(**asked, by=world.people["admin everywhere"])
    with pytest.raises(NotAllowed):
        proposals.confirm(proposal=opened, by=world.people[ADMIN], seen=opened.basis)
    assert opened.pk in set(
        type(opened).objects.filter(proposals.waiting_for(world.people[ADMIN])).values_list("pk", flat=True)
    )
    assert AccessRule.objects.get(pk=rule.pk).endpoint_id == rule.endpoint_id


def test_a_proposal_there_is_neither_made_nor_decided_from_here(world: World) -> None:
    publisher, there = world.people[f"publisher {MINE}"], world.at("policies.proposal", OTHER)
    draft = world.at("policies.schemaversion", OTHER)
    with pytest.raises(NotAllowed):
        proposals.propose(kind="schema.publish", target_id=draft.pk, payload={}, by=publisher, reason="now")
    with pytest.raises(NotAllowed):
        proposals.confirm(proposal=there, by=publisher, seen=there.basis)
    with pytest.raises(NotAllowed):
        proposals.reject(proposal=there, by=publisher, comment="no")
    assert publisher not in proposals.confirmers(there)
    assert publisher in proposals.confirmers(world.at("policies.proposal", MINE))


def test_explaining_and_trying_stop_at_the_wall(world: World) -> None:
    client = browser(world, ADMIN)
    asked = {"caller": "user:owner", "endpoint": f"{CANARY}-chat"}
    page = client.post("/explain/", asked, follow=True)
    assert page.status_code == 422 and "There is no such endpoint" in page.content.decode()
    asked = {"caller": f"service:{CANARY}-robot", "endpoint": "ward-chat"}
    assert "There is no such API key" in client.post("/explain/", asked).content.decode()
    tried = {"payload": "{}", "form": "json", "family": "json", "direction": "request"}
    tried["version"] = str(world.at("policies.policyversion", OTHER).pk)
    page = browser(world, EDITOR).post("/playground/", tried)
    assert page.status_code == 422 and CANARY not in page.content.decode()


# --- programs and roles


def test_a_program_is_put_only_into_groups_that_open_nothing_elsewhere(world: World) -> None:
    client, account = browser(world, ADMIN), world.at("gateway.serviceaccount", MINE)
    reach = world.people[ADMIN].areas_with("gateway.change_serviceaccount")
    inside = Group.objects.create(name="inside")
    role_grant(group=inside, role="auditor", area=world.at("gateway.area", MINE), by=None)
    outside = Group.objects.get(name="admin everywhere")
    callers = Group.objects.get(name="callers")  # it reaches the other area's endpoint as well
    assert beyond([inside, outside, callers], reach) == [outside, callers]
    account.groups.add(callers)
    values = {"area": account.area_id, "name": account.name, "owner": account.owner_id, "is_active": "on"}
    page = form("gateway", "serviceaccount", "change", account.pk)
    assert client.post(page, values | {"groups": [outside.pk]}).status_code == 200
    assert set(account.groups.all()) == {callers}
    assert client.post(page, values | {"groups": [inside.pk]}).status_code == 302
    assert set(account.groups.all()) == {callers, inside}, "what was not offered is not taken away"


def test_nobody_makes_a_key_for_a_program_that_may_do_more_elsewhere(world: World) -> None:
    account: ServiceAccount = world.at("gateway.serviceaccount", MINE)
    account.groups.add(Group.objects.get(name="admin everywhere"))
    before = ApiKey.objects.count()
    until = timezone.now() + timedelta(days=5)
    values = {"name": "k", "service_account": account.pk}
    values |= {"expires_at_0": f"{until:%Y-%m-%d}", "expires_at_1": "10:00"}
    page = form("gateway", "apikey", "add")
    assert "beyond your areas" in browser(world, ADMIN).post(page, values).content.decode()
    assert ApiKey.objects.count() == before


def test_an_areas_admin_gives_roles_there_and_nowhere_else(world: World) -> None:
    client, page = browser(world, ADMIN), form("gateway", "rolegrant", "add")
    group, here = Group.objects.create(name="night shift"), world.at("gateway.area", MINE)
    for area in ("", world.at("gateway.area", OTHER).pk):
        assert client.post(page, {"group": group.pk, "role": "auditor", "area": area}).status_code == 200
    assert not group.role_grants.exists()
    assert client.post(page, {"group": group.pk, "role": "auditor", "area": here.pk}).status_code == 302
    made = group.role_grants.get()
    assert made.area == here and made.created_by == world.people[ADMIN]
    client.post(form("gateway", "rolegrant", "delete", made.pk), {"post": "yes"})
    assert not group.role_grants.exists()


def test_nobody_gives_a_role_to_themselves(world: World) -> None:
    bob, here = world.people[ADMIN], world.at("gateway.area", MINE)
    own = bob.groups.get()
    page = browser(world, ADMIN).post(
        form("gateway", "rolegrant", "add"), {"group": own.pk, "role": "auditor", "area": here.pk}
    )
    assert "somebody else has to give it a role" in page.content.decode()
    with pytest.raises(OwnGroup):
        role_grant(group=own, role="auditor", area=here, by=bob)


def test_nobody_puts_themselves_into_a_group_that_holds_a_role(world: World) -> None:
    name = "admin everywhere"
    ada, target = world.people[name], Group.objects.get(name="auditor everywhere")
    values = {
        "username": ada.username,
        "is_active": "on",
        "groups": [*ada.groups.values_list("pk", flat=True)],
    }
    values |= {f"identities-{part}": 0 for part in ("TOTAL_FORMS", "INITIAL_FORMS")}
    page = form("gateway", "user", "change", ada.pk)
    answer = browser(world, name).post(page, values | {"groups": [*values["groups"], target.pk]})
    assert "Somebody else has to put you into auditor everywhere" in answer.content.decode()
    carol = world.people["nobody"]
    page = form("gateway", "user", "change", carol.pk)
    answer = browser(world, name).post(page, values | {"username": "carol", "groups": [target.pk]})
    assert answer.status_code == 302 and User.objects.get(pk=carol.pk).groups.get() == target


def test_a_role_takes_two_people_where_the_deployment_says_so(world: World) -> None:
    Deployment.objects.update(two_person_roles=True)
    here, group = world.at("gateway.area", MINE), Group.objects.create(name="night shift")
    with pytest.raises(NeedsSecondPerson):
        role_grant(group=group, role="auditor", area=here, by=world.people[ADMIN])
    values = {"group": group.pk, "role": "auditor", "area": here.pk}
    page = form("gateway", "rolegrant", "add")
    assert "Say why" in browser(world, ADMIN).post(page, values).content.decode()
    browser(world, ADMIN).post(page, values | {"reason": "the night has its own auditor"})
    opened = world.at("gateway.area", MINE).proposals.get(kind="role.grant")
    assert not group.role_grants.exists()
    with pytest.raises(NotAllowed):
        proposals.confirm(proposal=opened, by=world.people[ADMIN], seen=opened.basis)
    proposals.confirm(proposal=opened, by=world.people["admin everywhere"], seen=opened.basis)
    assert group.role_grants.get().area == here


# --- locks, keys, files: what is elsewhere is told from nothing by no answer


def posted(world: World, url: str, body: dict[str, Any], name: str = ADMIN) -> Any:
    return browser(world, name).post(url, body, content_type="application/json")


@pytest.mark.parametrize(
    "target",
    [
        f"user:{STRAY}",
        f"group:{STRAY} herd",
        f"endpoint:{CANARY}-chat",
        f"area:{CANARY}",
        f"service:{CANARY}-robot",
    ],
)
def test_nothing_is_locked_beyond_the_wall_nor_told_from_nothing(world: World, target: str) -> None:
    before = Lock.objects.count()
    refused, missing = (
        posted(world, "/api/v1/locks", {"target": each, "reason": "now"})
        for each in (target, f"{target}-not-there")
    )
    assert refused.status_code == missing.status_code == 422
    assert refused.json()["errors"] == missing.json()["errors"]
    page = browser(world, ADMIN).post("/live/lock/", {"target": target}, follow=True)
    assert "There is nothing of that name that you may lock" in page.content.decode()
    assert Lock.objects.count() == before


def test_an_areas_admin_stops_not_everything(world: World) -> None:
    before = Lock.objects.count()
    assert posted(world, "/api/v1/locks", {"target": "everything", "reason": "now"}).status_code == 403
    assert browser(world, ADMIN).post("/live/lock/", {"target": "everything"}).status_code == 403
    page = browser(world, ADMIN).post(form("gateway", "lock", "add"), {"everything": "on", "reason": "now"})
    assert "outside the areas in which you may lock" in page.content.decode()
    assert Lock.objects.count() == before


def test_a_form_that_is_shown_again_names_nobody(world: World) -> None:
    """Numbers of groups can be guessed: a form must not answer with the name."""
    group = Group.objects.get(name=f"{STRAY} herd")
    for model, field, key in (
        ("lock", "group", group.pk),
        ("lock", "user", world.stray.pk),
        ("apikey", "groups", group.pk),
        ("apikey", "user", world.stray.pk),
    ):
        page = browser(world, ADMIN).post(
            form("gateway", model, "add"), {field: key, "reason": "x", "name": "x"}
        )
        assert page.status_code == 200 and STRAY not in page.content.decode().lower(), (model, field)


def test_a_lock_and_a_call_elsewhere_stay_as_they_are(world: World) -> None:
    client = browser(world, ADMIN)
    for place in (OTHER, NONE):
        lock, call = world.at("gateway.lock", place), world.at("audit.call", place)
        assert client.post(f"/live/locks/{lock.pk}/lift/").status_code == 404
        assert posted(world, f"/api/v1/locks/{lock.pk}/lift", {}).status_code == 404
        assert client.post(f"/live/{call.pk}/cut/").status_code == 404
        assert Lock.objects.get(pk=lock.pk).lifted_at is None
    assert not Cut.objects.exists()


def test_a_key_is_made_for_nobody_elsewhere_and_names_nothing_there(world: World) -> None:
    before = ApiKey.objects.count()
    asked = {"name": "k", "holder": "service:ward-robot", "expires_at": world.soon}
    for said, of_old, anew in (
        ("holder", f"service:{CANARY}-robot", "service:not-there"),
        ("holder", f"user:{STRAY}", "user:not-there"),
        ("endpoints", [f"{CANARY}-chat"], ["not-there"]),
        ("groups", [f"{STRAY} herd"], ["not-there"]),
    ):
        told = []
        for value in (of_old, anew):
            answer = posted(world, "/api/v1/keys", asked | {said: value})
            name = value if isinstance(value, str) else value[0]
            told.append((answer.status_code, answer.content.decode().replace(name, "_")))
        assert told[0] == told[1] and told[0][0] in (404, 409, 422), told
    own = {"name": "k", "holder": "", "expires_at": world.soon, "endpoints": [f"{CANARY}-chat"]}
    assert posted(world, "/api/v1/keys", own, "nobody").status_code >= 400
    assert ApiKey.objects.count() == before


def test_a_service_account_is_made_in_no_other_area_and_gets_no_strange_groups(world: World) -> None:
    before = ServiceAccount.objects.count()
    asked = {"name": "new", "area": "ward", "owner": "owner"}
    for said, there, nothing in (
        ("area", CANARY, "not-there"),
        ("groups", [f"{STRAY} herd"], ["not-there"]),  # it holds a role everywhere
    ):
        told = []
        for value in (there, nothing):
            answer = posted(world, "/api/v1/service-accounts", asked | {said: value})
            name = value if isinstance(value, str) else value[0]
            told.append((answer.status_code, answer.content.decode().replace(name, "_")))
        assert told[0] == told[1] and told[0][0] in (404, 422), told
    assert ServiceAccount.objects.count() == before


def test_a_file_for_another_area_is_refused_before_it_is_compared(world: World) -> None:
    """What does not fit would say what is there."""
    rule = {"group": "callers", "endpoint": f"{CANARY}-chat", "policy": "not-there", "priority": 1}
    document = {"postern": 1, "area": {"slug": CANARY, "name": "x"}, "access_rules": [rule]}
    for path in ("plan", "apply"):
        assert posted(world, f"/api/v1/policy/{path}", document).status_code == 404


def test_an_area_reviews_only_who_comes_in_there(world: World) -> None:
    client = browser(world, ADMIN)
    assert client.get(f"/access-review/people/{world.stray.pk}/").status_code == 404
    assert client.get("/access-review/", {"caller": f"user:{STRAY}"}).status_code == 422
    world.stray.groups.add(Group.objects.get(name="callers"), Group.objects.get(name=f"{STRAY} herd"))
    page = client.get(f"/access-review/people/{world.stray.pk}/")
    assert page.status_code == 200
    shown = page.content.decode().lower()
    assert "callers" in shown and f"{STRAY} herd" not in shown and CANARY not in shown


def test_explaining_names_only_groups_that_open_the_endpoint(world: World) -> None:
    world.stray.groups.add(Group.objects.get(name="callers"), Group.objects.get(name=f"{STRAY} herd"))
    asked = {"caller": f"user:{STRAY}", "endpoint": "ward-chat"}
    shown = browser(world, ADMIN).post("/explain/", asked, follow=True).content.decode()
    assert "callers" in shown and f"{STRAY} herd" not in shown
    shown = browser(world, "admin everywhere").post("/explain/", asked, follow=True).content.decode()
    assert f"{STRAY} herd" in shown


def test_a_session_opens_nothing_that_is_a_directorys(world: World) -> None:
    for path in ("Users", "Groups", "ServiceProviderConfig", "Schemas", f"Users/{world.stray.pk}"):
        assert browser(world, "admin everywhere").get(f"/scim/v2/{path}").status_code == 401


# --- the record


def test_events_carry_the_area_that_they_are_about(world: World) -> None:
    last = Entry.objects.filter(kind="event").order_by("-id")
    role_grant(
        group=Group.objects.create(name="x"), role="auditor", area=world.at("gateway.area", MINE), by=None
    )
    assert b'"area":"ward"' in bytes(last[0].meta)
    role_grant(group=Group.objects.get(name="x"), role="auditor", by=None)
    assert b'"area":""' in bytes(last[0].meta)


def test_an_area_keeps_its_short_name(world: World) -> None:
    area = Area.objects.get(slug="ward")
    area.slug = "station"
    with pytest.raises(ValidationError):
        area_save(area=area, by=None)
    browser(world, "admin everywhere").post(
        form("gateway", "area", "change", area.pk), {"name": "Ward", "slug": "station"}
    )
    assert Area.objects.filter(slug="ward").exists()


def test_the_timeline_of_an_area_ends_at_its_wall(world: World) -> None:
    client = browser(world, ADMIN)
    shown = client.get("/history/").content.decode()
    assert "ward" in shown and CANARY not in shown
    there = Schema.objects.get(area__slug=CANARY)
    narrowed = client.get("/history/", {"kind": "schema", "object": str(there.pk)}).content.decode()
    assert CANARY not in narrowed


def test_a_programs_roles_end_at_the_wall_too(world: World) -> None:
    account = world.at("gateway.serviceaccount", MINE)
    lock_lift(lock=world.at("gateway.lock", NONE), by=None)  # on its owner
    account.groups.add(Group.objects.get(name=ADMIN))
    until = timezone.now() + timedelta(days=1)
    _, secret = api_key_create(name="ci", service_account=account, expires_at=until, by=world.people[ADMIN])
    client = Client(headers={"Authorization": f"Bearer {secret.reveal()}"})
    for kind in ("areas", "endpoints", "access-rules", "schemas", "policies"):
        answer = client.get(f"/api/v1/{kind}")
        assert answer.status_code == 200 and CANARY not in answer.content.decode()
        assert len(answer.json()["results"]) == 1
    there = world.at("gateway.endpoint", OTHER)
    assert client.get(f"/api/v1/endpoints/{there.pk}").status_code == 404
    assert client.get("/api/v1/policy/export", {"area": CANARY}).status_code == 404
    assert client.get("/api/v1/policy/export").json()["area"]["slug"] == "ward"
