"""Who may call what: one snapshot of the configuration, read as the hot path reads it."""

from __future__ import annotations

import time
from datetime import timedelta
from unittest import mock

import pytest
from django.contrib.auth.models import Group
from django.db.utils import OperationalError
from django.utils import timezone

from gateway.identity.keys import api_key_create, api_key_revoke, digest
from gateway.models import AccessRule, ApiKey, Lock, ServiceAccount, User
from gateway.proxy import routes, snapshot
from gateway.proxy.errors import (
    Forbidden,
    MethodNotAllowed,
    NotFound,
    ProxyError,
    Unauthenticated,
    Unavailable,
)
from gateway.proxy.operations import operation
from gateway.proxy.routes import Access, Caller, Snapshot
from gateway.proxy.snapshot import Snapshots
from policies import services
from tests.gateway.world import area, draft_policy, endpoint, key_of, person, published_policy

pytestmark = [pytest.mark.django_db, pytest.mark.database]


class World:
    """alice of support may call `chat`; carol belongs nowhere."""

    def __init__(self) -> None:
        self.policy = published_policy()
        self.endpoint = endpoint("chat")
        self.alice, self.carol = person("alice", group="support"), person("carol")
        self.key, self.secret = key_of(self.alice)
        self.support = Group.objects.get(name="support")
        self.rule = self.allow()

    def allow(self, **fields: object) -> AccessRule:
        values = {"group": self.support, "endpoint": self.endpoint, "policy": self.policy, **fields}
        return AccessRule.objects.create(**values)

    def snapshot(self) -> Snapshot:
        return snapshot.build(snapshot.revision())

    def caller(self) -> Caller:
        return self.snapshot().caller(digest(self.secret.reveal()), time.time())

    def grant(self, now: float | None = None, model: str = "demo") -> Access:
        view = self.snapshot()
        target, _ = view.target("/proxy/chat/v1/chat/completions")
        path = "/v1/chat/completions"
        return view.grant(self.caller(), target, path, "192.0.2.1", model, now or time.time())


@pytest.fixture
def world() -> World:
    return World()


def test_a_key_names_its_person_and_their_groups(world: World) -> None:
    caller = world.caller()
    assert (caller.subject, caller.kind, caller.groups) == ("local:alice", "person", ("support",))
    assert (caller.person_id, caller.key_prefix) == (world.alice.pk, world.key.prefix)


def test_a_service_account_names_its_owner(world: World) -> None:
    account = ServiceAccount.objects.create(area=area(), name="nightly", owner=world.alice)
    account.groups.add(world.support)
    expires = timezone.now() + timedelta(days=1)
    _, secret = api_key_create(name="job", service_account=account, expires_at=expires, by=None)
    caller = world.snapshot().caller(digest(secret.reveal()), time.time())
    assert (caller.subject, caller.kind, caller.owner_id) == ("service:nightly", "service", world.alice.pk)


def refused(world: World, kind: type[ProxyError]) -> str:
    with pytest.raises(kind) as error:
        world.caller()
    return error.value.code


def test_an_unknown_an_expired_and_a_revoked_key_look_alike(world: World) -> None:
    with pytest.raises(Unauthenticated):
        world.snapshot().caller(b"?" * 32, time.time())
    world.key.expires_at = timezone.now() - timedelta(seconds=1)
    world.key.save()
    assert refused(world, Unauthenticated) == "invalid_api_key"
    world.key.expires_at = timezone.now() + timedelta(days=1)
    world.key.save()
    assert world.caller()
    api_key_revoke(key=world.key, by=None)
    assert refused(world, Unauthenticated) == "invalid_api_key"


def test_keys_that_open_nothing_any_more_are_not_in_the_snapshot(world: World) -> None:
    other, _ = key_of(world.alice)
    third, _ = key_of(world.alice)
    api_key_revoke(key=other, by=None)
    ApiKey.objects.filter(pk=third.pk).update(expires_at=timezone.now())
    assert [caller.key_id for caller in world.snapshot().callers.values()] == [world.key.pk]


def test_a_person_who_left_or_is_locked_may_not_call(world: World) -> None:
    User.objects.filter(pk=world.alice.pk).update(is_active=False)
    assert refused(world, Forbidden) == "caller_locked"
    User.objects.filter(pk=world.alice.pk).update(is_active=True)
    lock = Lock.objects.create(user=world.alice, reason="stolen laptop")
    assert refused(world, Forbidden) == "caller_locked"
    lock.lifted_at = timezone.now()
    lock.save()
    assert world.caller()


def test_a_service_account_falls_with_its_owner(world: World) -> None:
    account = ServiceAccount.objects.create(area=area(), name="nightly", owner=world.carol)
    expires = timezone.now() + timedelta(days=1)
    _, secret = api_key_create(name="job", service_account=account, expires_at=expires, by=None)
    User.objects.filter(pk=world.carol.pk).update(is_active=False)
    with pytest.raises(Forbidden):
        world.snapshot().caller(digest(secret.reveal()), time.time())


@pytest.mark.parametrize("target", ["endpoint", "area"])
def test_a_locked_endpoint_takes_no_calls(world: World, target: str) -> None:
    fields = {"endpoint": world.endpoint} if target == "endpoint" else {"area": world.endpoint.area}
    Lock.objects.create(reason="incident", **fields)
    with pytest.raises(Forbidden) as error:
        world.grant()
    assert error.value.code == "endpoint_closed"


def test_a_lock_that_ends_makes_the_snapshot_old(world: World) -> None:
    ends = timezone.now() + timedelta(minutes=5)
    Lock.objects.create(reason="lunch", endpoint=world.endpoint, expires_at=ends)
    assert world.snapshot().valid_until == pytest.approx(ends.timestamp())


def test_a_disabled_endpoint_takes_no_calls(world: World) -> None:
    world.endpoint.enabled = False
    world.endpoint.save()
    with pytest.raises(Forbidden):
        world.grant()


def test_no_rule_no_call(world: World) -> None:
    world.rule.delete()
    with pytest.raises(Forbidden) as error:
        world.grant()
    assert error.value.code == "no_access"


def test_a_rule_ends_when_it_says(world: World) -> None:
    ends = timezone.now() + timedelta(minutes=5)
    AccessRule.objects.filter(pk=world.rule.pk).update(expires_at=ends)
    assert world.grant().id == world.rule.pk
    with pytest.raises(Forbidden):
        world.grant(ends.timestamp() + 1)


def test_the_lowest_priority_number_decides(world: World) -> None:
    first = world.allow(priority=5)
    world.allow(priority=7)
    assert world.grant().id == first.pk


def test_a_disabled_rule_is_no_rule(world: World) -> None:
    AccessRule.objects.update(enabled=False)
    with pytest.raises(Forbidden):
        world.grant()


def test_only_the_models_of_the_rule_may_be_used(world: World) -> None:
    AccessRule.objects.filter(pk=world.rule.pk).update(allowed_models=["small"])
    assert world.grant(model="small").id == world.rule.pk
    with pytest.raises(Forbidden) as error:
        world.grant(model="large")
    assert error.value.code == "model_not_allowed"


def test_a_policy_without_a_published_version_lets_nothing_pass(world: World) -> None:
    draft = draft_policy(world.policy.versions.get().schema, "empty")
    AccessRule.objects.update(policy=draft.policy)
    with pytest.raises(Forbidden) as error:
        routes.policy_of(world.grant())
    assert error.value.code == "no_policy"


def test_an_endpoint_whose_secret_does_not_open_is_closed(world: World) -> None:
    from tests.gateway.world import credential

    world.endpoint.credential = credential()
    world.endpoint.save()
    with pytest.raises(Forbidden) as error:
        world.grant()
    assert error.value.code == "endpoint_closed"


@pytest.mark.parametrize(
    ("kind", "method", "path", "refusal"),
    [
        ("openai", "POST", "/v1/embeddings", NotFound),
        ("openai", "POST", "", NotFound),
        ("openai", "GET", "/v1/chat/completions", MethodNotAllowed),
        ("json", "POST", "/", NotFound),
        ("json", "PUT", "/classify", MethodNotAllowed),
    ],
)
def test_unknown_is_not_passed_on(
    world: World, kind: str, method: str, path: str, refusal: type[ProxyError]
) -> None:
    world.endpoint.kind = kind
    world.endpoint.save()
    target, rest = world.snapshot().target(f"/proxy/chat{path}")
    with pytest.raises(refusal):
        operation(target.kind, method, rest)


def test_an_unknown_endpoint_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        world.snapshot().target("/proxy/nowhere/v1")


def test_a_publish_is_followed_and_both_versions_are_named(world: World) -> None:
    snapshots = Snapshots()
    snapshots.refresh()
    before = snapshots.current()
    snapshots.refresh()
    assert snapshots.current() is before
    draft = services.policy_version_clone_to_draft(version=world.policy.versions.get(), by=None)
    services.policy_version_publish(version=draft, by=None)
    snapshots.refresh()
    (access,) = snapshots.current().access[world.endpoint.pk]
    assert (access.policy_label, access.schema_label) == ("House@2", "Acme@1")
    assert access.policy_version_id == draft.pk


def test_a_version_that_takes_effect_later_makes_the_snapshot_old(world: World) -> None:
    draft = services.policy_version_clone_to_draft(version=world.policy.versions.get(), by=None)
    later = timezone.now() + timedelta(minutes=5)
    services.policy_version_publish(version=draft, by=None, effective_at=later)
    view = world.snapshot()
    assert view.access[world.endpoint.pk][0].policy_label == "House@1"
    assert view.valid_until == pytest.approx(later.timestamp())


def test_a_configuration_that_cannot_be_read_grows_old_and_closes(world: World) -> None:
    snapshots = Snapshots()
    with pytest.raises(Unavailable):
        snapshots.current()
    snapshots.refresh()
    assert snapshots.current()
    with mock.patch.object(snapshot, "revision", side_effect=OperationalError("gone")):
        snapshots.refresh()
        assert snapshots.current()
        snapshots._read_at -= snapshot.MAX_AGE + 1
        with pytest.raises(Unavailable) as error:
            snapshots.current()
    assert error.value.status == 503 and error.value.headers["retry-after"]
