"""Locks, live calls and cuts by REST: ci operates the ward."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache

from gateway.identity.authz import role_grant
from gateway.models import Cut, Lock, ServiceAccount
from tests.api import world
from tests.gateway.live import World, other_endpoint

pytestmark = pytest.mark.django_db(transaction=True)
LOCKS, LIVE = "/api/v1/locks", "/api/v1/live-calls"


@pytest.fixture
def small() -> World:
    cache.clear()
    return World()


@pytest.fixture
def ci(small: World) -> Any:
    account = ServiceAccount.objects.create(area=small.lab, name="ci", owner=small.omar)
    group = Group.objects.create(name="programs")
    role_grant(group=group, role="operator", area=small.ward, by=None)
    account.groups.add(group)
    return world.client(world.key_of(account)[1])


def test_a_lock_is_set_listed_and_lifted(small: World, ci: Any) -> None:
    said = {"target": "endpoint:chat", "reason": "ana@example.com complains"}
    made = ci.post(LOCKS, said, format="json")
    assert made.status_code == 201, made.content
    lock = made.json()
    assert (lock["kind"], lock["on"], lock["reason"]) == ("endpoint", "chat", "[EMAIL] complains")
    assert [each["id"] for each in ci.get(LOCKS).json()["results"]] == [lock["id"]]
    assert ci.get(f"{LOCKS}/{lock['id']}").json()["lifted_at"] is None
    for _ in range(2):
        lifted = ci.post(f"{LOCKS}/{lock['id']}/lift")
        assert lifted.status_code == 200 and lifted.json()["lifted_at"]
    assert ci.get(LOCKS).json()["results"] == []
    assert len(ci.get(LOCKS, {"all": "1"}).json()["results"]) == 1


@pytest.mark.parametrize("target", ["user:alice", "group:support", "area:lab"])
def test_a_program_locks_in_its_areas_only(small: World, ci: Any, target: str) -> None:
    response = ci.post(LOCKS, {"target": target, "reason": "x"}, format="json")
    world.problem(response, 422, "refused")  # as for what is not there
    response = ci.post(LOCKS, {"target": "everything", "reason": "x"}, format="json")
    world.problem(response, 403, "not-allowed")
    assert not Lock.objects.exists()


def test_what_cannot_be_locked_is_said(small: World, ci: Any) -> None:
    body = world.problem(
        ci.post(LOCKS, {"target": "user:nobody", "reason": "x"}, format="json"), 422, "refused"
    )
    assert "nothing of that name" in str(body["errors"])
    world.problem(ci.post(LOCKS, {"target": "endpoint:chat"}, format="json"), 422, "refused")


def test_locks_of_other_areas_are_not_there(small: World, ci: Any) -> None:
    lock = Lock.objects.create(endpoint=other_endpoint(small.lab), reason="x")
    assert ci.get(LOCKS).json()["results"] == []
    world.problem(ci.get(f"{LOCKS}/{lock.pk}"), 404, "not-found")
    world.problem(ci.post(f"{LOCKS}/{lock.pk}/lift"), 404, "not-found")


def test_a_live_call_is_listed_and_cut_once(small: World, ci: Any) -> None:
    (call,) = ci.get(LIVE).json()["results"]
    assert (call["id"], call["endpoint"], call["found"]) == (str(small.in_ward.pk), "chat", {"EMAIL": 2})
    said = {"reason": "runaway"}
    answers = [ci.post(f"{LIVE}/{call['id']}/cut", said, format="json").json() for _ in range(2)]
    assert answers == [{"cut": True}, {"cut": False}]
    assert Cut.objects.get().created_by == small.omar  # who answers for the program
    (call,) = ci.get(LIVE).json()["results"]
    assert call["being_cut"] is True


def test_a_call_of_another_area_or_that_has_ended_is_not_cut(small: World, ci: Any) -> None:
    said = {"reason": "runaway"}
    world.problem(ci.post(f"{LIVE}/{small.in_lab.pk}/cut", said, format="json"), 404, "not-found")
    done = small.call("ward", "chat", closed_at=small.in_ward.started_at, status=200, complete=True)
    world.problem(ci.post(f"{LIVE}/{done.pk}/cut", said, format="json"), 409, "conflict")
    assert not Cut.objects.exists()


def test_whoever_operates_nothing_sees_and_stops_nothing(small: World) -> None:
    carol = world.signed_in(small.carol)
    for path in (LIVE, LOCKS):
        world.problem(carol.get(path), 403, "not-allowed")


@pytest.mark.parametrize("target", ["key", "group"])
def test_a_locked_key_or_group_does_not_call_the_api_either(small: World, ci: Any, target: str) -> None:
    account = ServiceAccount.objects.get(name="ci")
    on = {"api_key": account.api_keys.get()} if target == "key" else {"group": account.groups.get()}
    Lock.objects.create(reason="leaked", **on)
    world.problem(ci.get(LOCKS), 401, "not-authenticated")


def test_everything_that_is_locked_can_be_lifted_by_a_program(small: World, ci: Any) -> None:
    role_grant(group=Group.objects.get(name="programs"), role="operator", by=None)
    ci = world.client(world.key_of(ServiceAccount.objects.get(name="ci"))[1])  # an older one has no part
    lock = ci.post(LOCKS, {"target": "everything", "reason": "stop"}, format="json").json()
    assert ci.post(f"{LOCKS}/{lock['id']}/lift").status_code == 200
