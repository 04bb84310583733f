"""Why a call is let in or not: for alice of the support group, at the chat, as the data path decides it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from gateway.callers import NotFound, caller_named, reference
from gateway.explaining import SHOWN, explain
from gateway.identity.keys import api_key_create, api_key_revoke
from gateway.models import AccessRule, ApiKey, Endpoint, Lock, Running, ServiceAccount, Sketch, Usage, User
from gateway.proxy.errors import ProxyError
from gateway.proxy.operations import operation
from gateway.proxy.snapshot import build
from policies import services
from policies.engine.sketch import Sketch as Registers
from policies.engine.types import Gate, Matcher
from policies.models import Policy
from tests.gateway import world

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2027, 1, 15, 12, 0, 30, tzinfo=UTC)


@pytest.fixture
def alice() -> User:
    user = world.person("alice", group="support")
    world.key_of(user)
    return user


@pytest.fixture
def chat() -> Endpoint:
    return world.endpoint("chat")


@pytest.fixture
def house() -> Policy:
    return world.published_policy()


def rule(
    chat: Endpoint, house: Policy, priority: int = 100, group: str = "support", **fields: object
) -> AccessRule:
    row = Group.objects.get_or_create(name=group)[0]
    values = {"group": row, "endpoint": chat, "policy": house, "priority": priority, **fields}
    return AccessRule.objects.create(**values)


def test_the_rule_that_decides_is_told_with_its_versions(alice: User, chat: Endpoint, house: Policy) -> None:
    decides = rule(chat, house)
    told = explain(caller=alice, endpoint=chat, model="m")
    assert told.allowed and told.code == "" and told.rule is not None
    assert (told.rule.id, told.policy, told.schema) == (str(decides.pk), "House@1", "Acme@1")
    assert (told.groups, told.ceiling, told.declared) == (("support",), "restricted", "")
    assert told.others == () and told.limits == () and told.notes == ()


def test_each_other_rule_says_why_it_does_not_decide(alice: User, chat: Endpoint, house: Policy) -> None:
    past = timezone.now() - timedelta(days=1)
    rule(chat, house, 1, "clinic")
    rule(chat, house, 2, enabled=False)
    rule(chat, house, 3, expires_at=past)
    rule(chat, house, 4, allowed_models=["big", "small"])
    rule(chat, house, 5, allowed_paths=["/v1/embeddings"])
    rule(chat, house, 6, networks=["10.0.0.0/8"])
    rule(chat, house, 7)
    rule(chat, house, 8)
    told = explain(caller=alice, endpoint=chat, model="m", address="192.0.2.1")
    assert told.rule is not None and told.rule.priority == 7
    assert [(each.priority, each.why) for each in told.others] == [
        (1, "group"),
        (2, "disabled"),
        (3, "expired"),
        (4, "model"),
        (5, "path"),
        (6, "network"),
        (8, "lower"),
    ]
    assert told.notes == ()
    assert "No address was named" in explain(caller=alice, endpoint=chat, model="m").notes[0]
    words = {each.priority: each.words for each in told.others}
    assert words[1] == "The caller is not in clinic."
    assert words[3] == f"It ran out on {past:%d %b %Y %H:%M} UTC."
    assert words[4] == "It is only for big, small."
    assert words[6] == "It is only for calls from 10.0.0.0/8."


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ("no rule", "no_access"),
        ("another model", "model_not_allowed"),
        ("unknown path", "unknown_path"),
        ("endpoint disabled", "endpoint_closed"),
        ("endpoint locked", "endpoint_closed"),
        ("caller locked", "caller_locked"),
        ("key locked", "caller_locked"),
        ("group locked", "caller_locked"),
        ("everything locked", "gateway_locked"),
        ("caller inactive", "caller_locked"),
        ("key revoked", "invalid_api_key"),
        ("policy unpublished", "no_policy"),
        ("key for other endpoints", "key_not_allowed_here"),
        ("key for other models", "key_not_allowed_here"),
        ("key for other networks", "key_not_allowed_here"),
        ("key for a group left", "no_access"),
    ],
)
def test_a_refusal_is_the_one_that_the_data_path_gives(
    alice: User, chat: Endpoint, house: Policy, trouble: str, code: str
) -> None:
    key, secret = world.key_of(alice)
    path = "/v1/nowhere" if trouble == "unknown path" else "/v1/chat/completions"
    if trouble == "policy unpublished":
        house = world.draft_policy(house.versions.get().schema, "new").policy
    if trouble != "no rule":
        rule(chat, house, allowed_models=["other"] if trouble == "another model" else [])
    if trouble == "endpoint disabled":
        Endpoint.objects.update(enabled=False)
    if trouble == "endpoint locked":
        Lock.objects.create(endpoint=chat, reason="x")
    if trouble == "caller locked":
        Lock.objects.create(user=alice, reason="x")
    if trouble == "key locked":
        Lock.objects.create(api_key=key, reason="x")
    if trouble == "group locked":
        Lock.objects.create(group=alice.groups.get(), reason="x")
    if trouble == "everything locked":
        Lock.objects.create(everything=True, reason="x")
    if trouble == "caller inactive":
        User.objects.update(is_active=False)
    if trouble == "key revoked":
        api_key_revoke(key=key, by=None)
    if trouble.startswith("key for"):
        what, names = {
            "key for other endpoints": ("allowed_endpoints", ["notes"]),
            "key for other models": ("allowed_models", ["big"]),
            "key for other networks": ("networks", ["10.0.0.0/8"]),
            "key for a group left": ("group_ids", [0]),
        }[trouble]
        ApiKey.objects.filter(pk=key.pk).update(**{what: names})
    told = explain(caller=f"key:{key.prefix}", endpoint="chat", model="m", path=path)
    assert (told.allowed, told.code) == (False, code)
    if trouble.startswith("key for"):
        assert "key" in told.notes[0]
    assert told.words == refusal_of_the_data_path(secret.reveal(), path)


def refusal_of_the_data_path(key: str, path: str) -> str:
    from gateway.identity.keys import digest
    from gateway.proxy import routes

    snapshot, now = build(1), timezone.now().timestamp()
    try:
        caller = snapshot.caller(digest(key), now)
        target, below = snapshot.target(f"/proxy/chat{path}")
        operation(target.kind, "POST", below)
        routes.policy_of(snapshot.grant(caller, target, below, "", "m", now))
    except ProxyError as error:
        return error.message
    return ""


def test_limits_are_told_with_what_all_processes_used(alice: User, chat: Endpoint, house: Policy) -> None:
    limits = {"requests_per_minute": 10, "tokens_per_month": 1000, "max_concurrent": 4}
    row = rule(chat, house, **limits)
    place = {"rule_id": row.pk, "caller": str(alice.pk)}
    Usage.objects.create(**place, window="minute", starts_at=NOON.replace(second=0), calls=9)
    Usage.objects.create(
        **place, window="minute", starts_at=NOON.replace(minute=59, hour=11, second=0), calls=7
    )
    Usage.objects.create(
        **place, window="month", starts_at=NOON.replace(day=1, hour=0, second=0), calls=99, tokens=999
    )
    for number, at in enumerate((NOON, NOON, NOON - timedelta(minutes=5)), start=1):
        Running.objects.create(**place, instance_id=UUID(int=number), calls=1, at=at)
    told = explain(caller=alice, endpoint=chat, model="m", now=NOON)
    assert told.allowed
    assert {limit.name: (limit.used, limit.left) for limit in told.limits} == {
        "calls_per_minute": (9, 1),
        "tokens_per_month": (999, 1),
        "at_once": (2, 2),
    }
    Usage.objects.filter(window="month").update(tokens=1000)
    told = explain(caller=alice, endpoint=chat, model="m", now=NOON)
    assert (told.allowed, told.code) == (False, "token_limited")
    assert told.rule is not None and told.limits[1].ends_at == datetime(2027, 2, 1, tzinfo=UTC)


def test_rules_about_different_values_say_how_many_were_sent(
    alice: User, chat: Endpoint, house: Policy
) -> None:
    draft = services.policy_version_clone_to_draft(version=house.versions.get(), by=None)
    world.rule(
        draft,
        name="many",
        matcher=Matcher.DISTINCT.value,
        value="BADGE",
        at_least=5,
        window="hour",
        gate=Gate.BLOCK.value,
    )
    services.policy_version_publish(version=draft, by=None)
    rule(chat, house)
    sent = Registers()
    sent.add(number.to_bytes(8, "big") for number in range(3))
    Sketch.objects.create(
        schema_id=house.versions.first().schema_id,  # type: ignore[union-attr]
        caller=str(alice.pk),
        data_class="BADGE",
        window="hour",
        starts_at=NOON.replace(minute=0, second=0),
        registers=sent.dump(),
    )
    (values,) = explain(caller=alice, endpoint=chat, model="m", now=NOON).values
    assert (values.rule, values.value, values.window, values.gate) == ("many", "BADGE", "hour", "block")
    assert (values.used, values.limit) == (3, 5)


def test_ten_thousand_rules_of_others_are_counted_and_not_all_listed(
    alice: User, chat: Endpoint, house: Policy
) -> None:
    groups = Group.objects.bulk_create(Group(name=f"g{number}") for number in range(SHOWN + 5))
    AccessRule.objects.bulk_create(
        AccessRule(group=group, endpoint=chat, policy=house, priority=1) for group in groups
    )
    rule(chat, house, 500)
    told = explain(caller=alice, endpoint=chat, model="m")
    assert told.allowed and len(told.others) == SHOWN and told.left_out == 5


def test_callers_are_found_by_what_people_write(alice: User) -> None:
    key, secret = world.key_of(alice)
    robot = ServiceAccount.objects.create(area=world.area(), name="robot", owner=alice)
    for text, row in (
        ("alice", alice),
        ("user:ALICE", alice),
        ("robot", robot),
        ("service:robot", robot),
        (key.prefix, key),
        (secret.reveal(), key),
    ):
        assert caller_named(text) == row
        assert caller_named(reference(row)) == row
    ServiceAccount.objects.create(area=world.area(), name="alice", owner=alice)
    with pytest.raises(NotFound, match=r"user:… or service:…"):
        caller_named("alice")
    for unknown in ("nobody", "service:robots", "key:alice", ""):
        with pytest.raises(NotFound):
            caller_named(unknown)


def test_a_caller_without_a_key_is_told_so(chat: Endpoint, house: Policy, alice: User) -> None:
    robot = ServiceAccount.objects.create(area=world.area(), name="robot", owner=alice)
    robot.groups.add(Group.objects.get(name="support"))
    rule(chat, house)
    told = explain(caller=robot, endpoint=chat, model="m")
    assert told.allowed and "no valid API key" in told.notes[0]
    api_key_create(
        name="k",
        service_account=robot,
        expires_at=timezone.now() + timedelta(days=1),
        by=None,
        declared_level=3,
    )
    assert explain(caller=robot, endpoint=chat, model="m").notes == ()


def test_an_explanation_is_plain_json(alice: User, chat: Endpoint, house: Policy) -> None:
    rule(chat, house, requests_per_minute=2)
    told = json.loads(json.dumps(explain(caller=alice, endpoint=chat, model="m", now=NOON).as_json()))
    assert told["allowed"] is True and told["at"] == "2027-01-15T12:00:30Z"
    assert told["rule"]["group"] == "support"
    assert told["limits"][0] == {
        "name": "calls_per_minute",
        "words": "Calls per minute",
        "limit": 2,
        "used": 0,
        "left": 2,
        "ends_at": "2027-01-15T12:01:00Z",
    }


def test_the_question_is_posted_and_the_answer_has_its_own_address(
    alice: User, chat: Endpoint, house: Policy
) -> None:
    client = Client()
    client.force_login(world.admin())
    rule(chat, house, requests_per_minute=2)
    rule(chat, house, 1, "<b>clinic</b>")
    page = reverse("explain")
    assert "Ask about a call" in client.get(page).content.decode()
    _, secret = world.key_of(alice)
    answer = client.post(page, {"caller": secret.reveal(), "endpoint": "chat", "model": "m"})
    assert answer.status_code == 302
    assert secret.reveal() not in answer["Location"] and "key%3Apst_" in answer["Location"]
    shown = client.get(answer["Location"]).content.decode()
    assert "may make this call" in shown and "Calls per minute" in shown
    assert "The caller is not in &lt;b&gt;clinic&lt;/b&gt;." in shown


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"caller": "nobody", "endpoint": "chat"}, "There is no such API key"),
        ({"caller": "alice", "endpoint": "nowhere"}, "There is no such endpoint"),
        ({"caller": "alice"}, "Choose an endpoint"),
        ({"endpoint": "chat"}, "Name a caller"),
        ({"caller": "alice", "endpoint": "chat", "path": "v1"}, "begins with a slash"),
        ({"caller": "a" * 500, "endpoint": "chat"}, "longer than 300"),
        ({"caller": f"pst_{'a' * 8}_{'b' * 43}", "endpoint": "chat"}, "There is no such API key"),
        ({"caller": "al\x00ice", "endpoint": "chat"}, "There is no such API key"),
    ],
)
def test_what_cannot_be_asked_is_said_in_words(
    alice: User, chat: Endpoint, asked: dict[str, str], words: str
) -> None:
    client = Client()
    client.force_login(world.admin())
    answer = client.post(reverse("explain"), asked, follow=True)
    shown = answer.content.decode()
    assert answer.status_code == 422 and words in shown
    assert "b" * 43 not in shown


def test_who_may_not_see_access_rules_gets_no_explanation(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get(reverse("explain")).status_code == 403
    assert reverse("explain") not in client.get("/").content.decode()
