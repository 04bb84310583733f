"""The access review: who reaches what and how; nobody looks across a wall; what leaves is an event first."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from audit.models import Entry, Session
from audit.spreadsheet import harmless
from gateway.access_review.marks import marks_of
from gateway.access_review.reading import callers_of, reached_by
from gateway.access_review.values import Reached
from gateway.identity.authz import role_grant
from gateway.identity.keys import api_key_create, api_key_revoke
from gateway.identity.membership import membership_set
from gateway.identity.reach import EVERYWHERE
from gateway.models import AccessRule, Area, Endpoint, Lock, ServiceAccount, Source, User
from policies.models import Policy
from tests.api import world as api
from tests.gateway import two, world

pytestmark = pytest.mark.django_db


@pytest.fixture
def policy() -> Policy:
    return world.published_policy()


@pytest.fixture
def endpoint(policy: Policy) -> Endpoint:
    """alice by hand and bob by his sign-in, both in support; robot, of alice; carol is a stranger."""
    chat = world.endpoint(ceiling=2)
    rule(chat, policy, allowed_models=["gpt-4o"], networks=["10.0.0.0/8"], requests_per_minute=60)
    joins(world.person("alice", first_name="Alice", last_name="Adams"))
    joins(world.person("bob"), source=Source.OIDC)
    world.person("carol")
    joins(robot())
    return chat


def rule(endpoint: Endpoint, policy: Policy, group: str = "support", **fields: Any) -> AccessRule:
    made = two.rule(endpoint, policy, group, **fields)
    made.save()
    return made


def joins(member: User | ServiceAccount, *groups: str, source: Source = Source.MANUAL) -> None:
    held = [Group.objects.get_or_create(name=name)[0] for name in groups or ("support",)]
    membership_set(member=member, groups=held, by=None, source=source)


def robot(name: str = "robot") -> ServiceAccount:
    owner = User.objects.get(username="alice")
    return ServiceAccount.objects.create(area=world.area(), name=name, owner=owner)


def named(endpoint: Endpoint) -> dict[str, Reached]:
    return {row.caller: row for row in callers_of(endpoint).rows}


def called(person: UUID, endpoint: Endpoint, at: datetime) -> None:
    Session.objects.create(
        key=uuid4().bytes * 2,
        thread=uuid4().bytes * 2,
        hinted=False,
        started_at=at,
        person_id=person,
        endpoint_id=endpoint.pk,
        endpoint=endpoint.slug,
    )


def events(action: str) -> list[dict[str, Any]]:
    found = [json.loads(bytes(entry.meta)) for entry in Entry.objects.order_by("sequence")]
    return [each for each in found if each["event"] == action]


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_everybody_who_reaches_it_is_named_with_how(endpoint: Endpoint) -> None:
    found = named(endpoint)
    assert list(found) == ["alice", "bob", "robot"]
    alice = found["alice"]
    assert (alice.name, alice.kind, alice.states, alice.area) == ("Alice Adams", "person", (), "default")
    (way,) = alice.ways
    assert (way.group, way.source, way.rule.policy) == ("support", "manual", "House")
    assert way.since is not None
    assert (way.rule.models, way.rule.networks) == (("gpt-4o",), ("10.0.0.0/8",))
    assert way.rule.limits == ("60 calls a minute",)
    assert found["bob"].ways[0].source == "oidc"
    assert (found["robot"].kind, found["robot"].owner) == ("service", "alice")


def test_a_membership_that_nobody_recorded_is_shown_without_a_source(endpoint: Endpoint) -> None:
    User.objects.get(username="carol").groups.add(Group.objects.get(name="support"))
    (way,) = named(endpoint)["carol"].ways
    assert (way.source, way.source_words, way.since) == ("", "Not known", None)


@pytest.mark.parametrize("fields", [{"enabled": False}, {"expires_at": timezone.now() - timedelta(days=1)}])
def test_rules_that_are_off_or_ran_out_let_nobody_in(endpoint: Endpoint, fields: dict[str, Any]) -> None:
    AccessRule.objects.update(**fields)
    assert named(endpoint) == {}


def test_several_rules_are_listed_in_deciding_order(endpoint: Endpoint, policy: Policy) -> None:
    rule(endpoint, policy, "ward", priority=5)
    joins(User.objects.get(username="alice"), "support", "ward")
    assert [way.group for way in named(endpoint)["alice"].ways] == ["ward", "support"]


@pytest.mark.parametrize(
    ("how", "states"),
    [
        ("inactive", {"alice": ("inactive",), "robot": ("owner inactive",)}),
        ("user locked", {"alice": ("locked",), "robot": ("owner locked",)}),
        ("service locked", {"alice": (), "robot": ("locked",)}),
        ("service inactive", {"alice": (), "robot": ("inactive",)}),
        ("lock ran out", {"alice": (), "robot": ()}),
    ],
)
def test_who_cannot_call_now_is_marked(endpoint: Endpoint, how: str, states: dict[str, Any]) -> None:
    alice, program = User.objects.get(username="alice"), ServiceAccount.objects.get()
    match how:
        case "inactive":
            User.objects.filter(pk=alice.pk).update(is_active=False)
        case "user locked":
            Lock.objects.create(user=alice, reason="x")
        case "service locked":
            Lock.objects.create(service_account=program, reason="x")
        case "service inactive":
            ServiceAccount.objects.update(is_active=False)
        case _:
            Lock.objects.create(user=alice, reason="x", expires_at=timezone.now() - timedelta(hours=1))
    found = named(endpoint)
    assert {name: found[name].states for name in states} == states


def test_keys_that_are_valid_and_reach_it_are_named_by_their_prefix(endpoint: Endpoint) -> None:
    alice, until = User.objects.get(username="alice"), timezone.now() + timedelta(days=3)
    keys = [api_key_create(name=f"k{n}", user=alice, expires_at=until, by=None)[0] for n in range(5)]
    api_key_revoke(key=keys[0], by=None)
    for key, fields in (
        (keys[1], {"expires_at": timezone.now() - timedelta(days=1)}),
        (keys[2], {"allowed_endpoints": ["other"]}),
        (keys[3], {"group_ids": [987654]}),
    ):
        type(key).objects.filter(pk=key.pk).update(**fields)
    assert [key.prefix for key in named(endpoint)["alice"].keys] == [keys[4].prefix]


def test_the_last_call_is_the_one_of_the_record(endpoint: Endpoint) -> None:
    alice = User.objects.get(username="alice")
    latest = timezone.now().replace(microsecond=0) - timedelta(hours=1)
    for at in (latest - timedelta(days=40), latest, latest - timedelta(days=2)):
        called(alice.pk, endpoint, at)
    called(alice.pk, world.endpoint("other"), timezone.now())
    called(ServiceAccount.objects.get().pk, endpoint, latest)
    found = named(endpoint)
    assert (found["alice"].last_call, found["bob"].last_call) == (latest, None)
    assert found["robot"].last_call == latest


def test_pages_lead_through_people_and_then_service_accounts(endpoint: Endpoint) -> None:
    for number in range(5):
        joins(world.person(f"p{number}"))
        joins(robot(f"r{number}"))
    for limit in (1, 2, 3, 7, 100):
        seen, after = [], ""
        while True:
            page = callers_of(endpoint, after=after, limit=limit)
            assert len(page.rows) <= limit
            seen += [row.caller for row in page.rows]
            after = page.after
            if not after:
                break
        assert seen == ["alice", "bob", *(f"p{n}" for n in range(5)), *(f"r{n}" for n in range(5)), "robot"]


def test_the_number_of_queries_does_not_grow(endpoint: Endpoint, policy: Policy) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            callers_of(endpoint)
            reached_by(User.objects.get(username="alice"), EVERYWHERE)
        return len(captured)

    called(User.objects.get(username="alice").pk, endpoint, timezone.now())
    few = queries()
    for number in range(20):
        rule(endpoint, policy, f"g{number}", priority=number)
        person = world.person(f"p{number}")
        joins(person, f"g{number}", "support")
        world.key_of(person)
        called(person.pk, endpoint, timezone.now())
        joins(robot(f"r{number}"), f"g{number}")
        rule(world.endpoint(f"e{number}"), policy)
    assert queries() == few <= 30


def test_what_one_caller_reaches_is_listed_by_endpoint(endpoint: Endpoint, policy: Policy) -> None:
    rule(world.endpoint("zebra"), policy, "support")
    rule(world.endpoint("other"), policy, "elsewhere")
    alice = User.objects.get(username="alice")
    assert [row.endpoint for row in reached_by(alice, EVERYWHERE)] == ["chat", "zebra"]
    assert reached_by(User.objects.get(username="carol"), EVERYWHERE) == []


# --- pages ------------------------------------------------------------------------------------------


def page(endpoint: Endpoint) -> str:
    return reverse("access_review_endpoint", args=[endpoint.pk])


def test_the_pages_show_it(endpoint: Endpoint) -> None:
    client = browser(world.admin())
    index = client.get(reverse("access_review")).content.decode()
    assert page(endpoint) in index and "Never" in index
    shown = client.get(page(endpoint)).content.decode()
    for words in ("alice", "Sign-in (OIDC)", "60 calls a minute", "gpt-4o", "service account of"):
        assert words in shown, words
    found = client.get(reverse("access_review"), {"caller": "user:alice"})
    alice = client.get(found["Location"]).content.decode()
    assert page(endpoint) in alice
    assert client.get(reverse("access_review"), {"caller": "user:nobody"}).status_code == 422
    assert client.get(page(endpoint), {"after": "nonsense"}).status_code == 400


def test_an_endpoint_that_nobody_reaches_says_so() -> None:
    shown = browser(world.admin()).get(page(world.endpoint())).content.decode()
    assert "no rule, no call" in shown and "Nobody has reviewed this yet" in shown


def test_a_lock_on_the_whole_endpoint_is_said(endpoint: Endpoint) -> None:
    Lock.objects.create(endpoint=endpoint, reason="leak")
    assert "leak" in browser(world.admin()).get(page(endpoint)).content.decode()


def auditor(name: str, area: Area | None, role: str = "auditor") -> User:
    person = world.person(name, group=f"{name}s")
    role_grant(group=Group.objects.get(name=f"{name}s"), role=role, area=area, by=None)
    return person


def test_nobody_reviews_across_a_wall(endpoint: Endpoint, policy: Policy) -> None:
    secret = world.endpoint("secret", area=world.area("walled"))
    AccessRule.objects.create(group=Group.objects.get(name="support"), endpoint=secret, policy=policy)
    dave = browser(auditor("dave", endpoint.area))
    assert dave.get(page(endpoint)).status_code == 200
    assert dave.get(page(secret)).status_code == 404
    for name in ("access_reviewed", "access_review_export"):
        answer = dave.post(reverse(name, args=[secret.pk]), {"format": "csv"})
        assert answer.status_code == 404
    assert "secret" not in dave.get(reverse("access_review")).content.decode()
    alice = User.objects.get(username="alice")
    theirs = dave.get(reverse("access_review_caller", args=["people", alice.pk])).content.decode()
    assert "secret" not in theirs and "In your areas only" in theirs
    exported = dave.post(
        reverse("access_review_caller_export", args=["people", alice.pk]), {"format": "json"}
    ).json()
    assert [row["endpoint"] for row in exported["endpoints"]] == ["chat"]


def test_a_program_behind_a_wall_is_not_there_unless_it_reaches_across(endpoint: Endpoint) -> None:
    dave = browser(auditor("dave", endpoint.area))
    owner = User.objects.get(username="alice")
    spy = ServiceAccount.objects.create(area=world.area("walled"), name="spy", owner=owner)
    mine, theirs = reverse("access_review"), reverse("access_review_caller", args=["services", spy.pk])
    for _ in range(2):
        assert dave.get(theirs).status_code == 404
        told = dave.get(mine, {"caller": "service:spy"})
        unknown = dave.get(mine, {"caller": "service:nobody"})
        assert told.status_code == unknown.status_code == 422
        assert told.context["problem"] == unknown.context["problem"]
        joins(spy, "elsewhere")
    joins(spy)
    assert dave.get(theirs).status_code == 200
    assert dave.get(mine, {"caller": "service:spy"})["Location"] == theirs


@pytest.mark.parametrize("role", ["client_developer", "reviewer", "policy_editor", "publisher", ""])
def test_who_may_not_see_callers_and_rules_reviews_nothing(endpoint: Endpoint, role: str) -> None:
    person = auditor("eve", None, role) if role else world.person("eve")
    client = browser(person)
    assert client.get(reverse("access_review")).status_code == 403
    assert client.get(page(endpoint)).status_code == 403
    assert (
        client.post(reverse("access_review_export", args=[endpoint.pk]), {"format": "csv"}).status_code == 403
    )
    assert reverse("access_review") not in client.get("/").content.decode()


def test_rules_in_one_area_and_callers_in_another_are_no_review(endpoint: Endpoint) -> None:
    """A review needs both where the endpoint lies."""
    person = auditor("eve", endpoint.area, "client_developer")
    role_grant(group=Group.objects.get(name="eves"), role="auditor", area=world.area("walled"), by=None)
    assert browser(person).get(page(endpoint)).status_code == 404


def test_that_it_was_reviewed_is_an_event_and_shown(endpoint: Endpoint) -> None:
    dave = auditor("dave", None)
    client = browser(dave)
    mark = reverse("access_reviewed", args=[endpoint.pk])
    assert client.get(mark).status_code == 405
    client.post(mark, {"words": "all fine, ask bob@example.com"})
    (event,) = events("access.reviewed")
    assert event["by"]["name"] == "dave"
    assert event["detail"] == {"endpoint": "chat", "groups": 1, "people": 2, "services": 1}
    assert "all fine" in event["note"] and "bob@example.com" not in json.dumps(event)
    shown = client.get(page(endpoint)).content.decode()
    assert "Last reviewed" in shown and "by dave" in shown and "bob@example.com" not in shown
    assert "by</span>" not in shown
    client.post(mark, {"words": ""})
    latest = marks_of([endpoint.pk])[endpoint.pk]
    assert (latest.by, latest.words) == ("dave", "")
    assert "dave" in client.get(reverse("access_review")).content.decode()


# --- exports ----------------------------------------------------------------------------------------


def export(client: Client, endpoint: Endpoint, form: str) -> Any:
    return client.post(reverse("access_review_export", args=[endpoint.pk]), {"format": form})


def test_an_export_is_an_event_before_it_is_a_file(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = browser(auditor("dave", None))
    answer = export(client, endpoint, "json")
    assert answer.json()["callers"][0]["caller"] == "alice"
    assert answer["Content-Disposition"] == 'attachment; filename="access-chat.json"'
    (event,) = events("access.exported")
    assert event["detail"] == {"endpoint": "chat", "format": "json", "callers": 3}

    def broken(**_: Any) -> None:
        raise RuntimeError("the record is away")

    monkeypatch.setattr("gateway.access_review.exporting.note", broken)
    with pytest.raises(RuntimeError):
        export(client, endpoint, "csv")


def test_a_csv_has_a_line_for_each_way_and_computes_nothing(endpoint: Endpoint, policy: Policy) -> None:
    world.person("mallory", first_name="=HYPERLINK(1)", last_name="@x")
    joins(User.objects.get(username="mallory"))
    rule(endpoint, policy, "+ward", priority=5, allowed_models=["-cmd"])
    joins(User.objects.get(username="alice"), "support", "+ward")
    answer = export(browser(world.admin()), endpoint, "csv")
    lines = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [line["caller"] for line in lines] == ["alice", "alice", "bob", "mallory", "robot"]
    assert lines[0]["group"] == "'+ward" and lines[0]["models"] == "'-cmd"
    assert lines[3]["name"].startswith("'=HYPERLINK")
    assert not any(value.startswith(("=", "+", "-", "@")) for line in lines for value in line.values())


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@A1", "\t=1", "\r=1", "\n=1", "＝1"])
def test_what_a_spreadsheet_would_compute_is_text(value: str) -> None:
    assert harmless(value) == f"'{value}"
    assert harmless("plain") == "plain"


def test_an_export_of_many_pages_is_whole(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.access_review.exporting.CHUNK", 2)
    client = browser(world.admin())
    assert len(export(client, endpoint, "json").json()["callers"]) == 3
    monkeypatch.setattr("gateway.access_review.exporting.MOST", 2)
    assert export(client, endpoint, "json").status_code == 302
    assert export(client, endpoint, "xlsx").status_code == 400


# --- through the API --------------------------------------------------------------------------------


def test_a_program_reads_it_in_pages_and_each_is_an_event(endpoint: Endpoint) -> None:
    cache.clear()
    client = api.client(api.key_of(api.program(roles=("auditor",)))[1])
    path = f"/api/v1/access-review/endpoints/{endpoint.pk}"
    first = client.get(f"{path}?limit=2").json()
    assert [row["caller"] for row in first["callers"]] == ["alice", "bob"]
    second = client.get(path, {"limit": 2, "after": first["after"]}).json()
    assert [row["caller"] for row in second["callers"]] == ["robot"] and second["after"] is None
    assert len(events("access.exported")) == 2
    api.problem(client.get(f"{path}?after=x"), 422, "refused")
    alice = User.objects.get(username="alice")
    told = client.get(f"/api/v1/access-review/people/{alice.pk}").json()
    assert [row["endpoint"] for row in told["endpoints"]] == ["chat"]
    program = ServiceAccount.objects.get(name="robot")
    told = client.get(f"/api/v1/access-review/service-accounts/{program.pk}").json()
    assert told["endpoints"][0]["ways"][0]["group"] == "support"
    assert client.post(f"{path}/reviewed", {"words": "nightly"}, format="json").status_code == 204
    assert marks_of([endpoint.pk])[endpoint.pk].by == "owner"


def test_a_program_of_another_area_finds_nothing(endpoint: Endpoint) -> None:
    cache.clear()
    account = api.program(roles=())
    walled = world.area("walled")
    role_grant(group=Group.objects.get(name="ci programs"), role="auditor", area=walled, by=None)
    client = api.client(api.key_of(account)[1])
    path = f"/api/v1/access-review/endpoints/{endpoint.pk}"
    api.problem(client.get(path), 404, "not-found")
    api.problem(client.post(f"{path}/reviewed", {}, format="json"), 404, "not-found")
    assert events("access.exported") == []
