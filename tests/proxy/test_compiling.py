"""A schema that takes long to compile holds nobody up, and nothing judges long in its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from gateway.models import Lock
from gateway.proxy import compiling, routes, snapshot
from gateway.proxy.errors import Forbidden, ProxyError, Unavailable
from gateway.proxy.routes import Access
from gateway.proxy.snapshot import Snapshots
from policies import compiler, services
from policies.models import PolicyVersion, State
from tests.gateway.world import endpoint, published_policy, published_schema
from tests.proxy.test_snapshot import World

pytestmark = [pytest.mark.django_db, pytest.mark.database]


class Slow:
    """Compiling policies waits until it is let go, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.failures = 0
        self._compile = compiler.compile_policy

    def __call__(self, *arguments: Any) -> Any:
        assert self.go.wait(20)
        if self.failures:
            self.failures -= 1
            raise MemoryError
        return self._compile(*arguments)


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow()
    with mock.patch.object(compiler, "compile_policy", made), mock.patch.object(compiling, "BRIEF", 0.02):
        yield made
        made.go.set()


@pytest.fixture
def world() -> World:
    return World()


def following() -> Snapshots:
    """A process that has read everything once."""
    snapshots = Snapshots()
    snapshots.refresh()
    return snapshots


def access(snapshots: Snapshots, world: World) -> Access:
    (found,) = snapshots.current().access[world.endpoint.pk]
    return found


def publish(world: World) -> PolicyVersion:
    last = world.policy.versions.filter(state=State.PUBLISHED).latest("number")
    draft = services.policy_version_clone_to_draft(version=last, by=None)
    return services.policy_version_publish(version=draft, by=None)


def wait_refreshed(snapshots: Snapshots) -> None:
    """What the following thread does once it is woken."""
    assert snapshots._wake.wait(10)
    snapshots.refresh()


def test_the_version_before_judges_until_the_new_one_is_ready(world: World, slow: Slow) -> None:
    slow.go.set()
    snapshots = following()
    slow.go.clear()
    publish(world)
    began = time.monotonic()
    snapshots.refresh()
    assert time.monotonic() - began < 5
    assert access(snapshots, world).policy_label == "House@1"
    snapshots.refresh()
    assert access(snapshots, world).policy_label == "House@1"
    slow.go.set()
    wait_refreshed(snapshots)
    assert access(snapshots, world).policy_label == "House@2"


def test_locks_are_followed_meanwhile(world: World, slow: Slow) -> None:
    slow.go.set()
    snapshots = following()
    slow.go.clear()
    publish(world)
    snapshots.refresh()
    Lock.objects.create(reason="incident", endpoint=world.endpoint)
    snapshots.refresh()
    assert snapshots.current().targets[world.endpoint.slug].refusal == "locked"
    assert snapshots.age < 5


def refused(snapshots: Snapshots, world: World, kind: type[ProxyError]) -> str:
    with pytest.raises(kind) as error:
        routes.policy_of(access(snapshots, world))
    return error.value.code


def test_nothing_old_judges_for_long(world: World, slow: Slow) -> None:
    """Also where each publish comes before the one before it is ready."""
    slow.go.set()
    snapshots = following()
    slow.go.clear()
    clock = mock.Mock(**{"monotonic.return_value": 1000.0})
    with mock.patch.object(compiling, "time", clock):
        publish(world)
        snapshots.refresh()
        clock.monotonic.return_value += compiling.LATE / 2
        publish(world)
        snapshots.refresh()
        assert routes.policy_of(access(snapshots, world))
        clock.monotonic.return_value += compiling.LATE / 2 + 1
        snapshots.refresh()
        assert refused(snapshots, world, Unavailable) == "configuration_stale"
        slow.go.set()
        wait_refreshed(snapshots)
        snapshots.refresh()
    assert access(snapshots, world).policy_label == "House@3"


def test_other_policies_go_on(world: World, slow: Slow) -> None:
    slow.go.set()
    other, policy = endpoint("other"), published_policy(published_schema("second"), "second")
    world.allow(endpoint=other, policy=policy)
    snapshots = following()
    slow.go.clear()
    with mock.patch.object(compiling, "LATE", 0.0):
        publish(world)
        snapshots.refresh()
        time.sleep(0.01)
        snapshots.refresh()
    assert refused(snapshots, world, Unavailable)
    assert snapshots.current().access[other.pk][0].policy is not None


def test_a_new_policy_judges_nothing_before_it_is_ready(world: World, slow: Slow) -> None:
    slow.go.set()
    snapshots = following()
    slow.go.clear()
    world.rule.policy = published_policy(published_schema("second"), "second")
    world.rule.save()
    snapshots.refresh()
    assert refused(snapshots, world, Unavailable) == "configuration_stale"
    slow.go.set()
    wait_refreshed(snapshots)
    assert access(snapshots, world).policy_label == "Second@1"


def test_what_went_wrong_once_is_tried_again(world: World, slow: Slow) -> None:
    slow.go.set()
    snapshots = following()
    slow.failures = 1
    publish(world)
    deadline = time.monotonic() + 10
    while access(snapshots, world).policy_label != "House@2":
        assert time.monotonic() < deadline
        snapshots.refresh()
    assert slow.failures == 0


def test_a_process_that_starts_waits_for_everything(world: World, slow: Slow) -> None:
    threading.Timer(0.2, slow.go.set).start()
    assert access(following(), world).policy_label == "House@1"


def test_versions_that_do_not_fit_close_the_policy(world: World) -> None:
    snapshots = following()
    publish(world)
    with mock.patch.object(compiler, "rule_problems", return_value=["no such class"]):
        snapshots.refresh()
    assert refused(snapshots, world, Forbidden) == "no_policy"


@pytest.mark.django_db(transaction=True)
def test_the_following_thread_survives_what_it_did_not_expect(world: World) -> None:
    snapshots = Snapshots()
    with mock.patch.object(snapshot, "POLL", 0.02):
        snapshots.start()
        try:
            with mock.patch.object(snapshot, "build", side_effect=KeyError("recogniser")):
                Lock.objects.create(reason="x", endpoint=world.endpoint, expires_at=None)
                time.sleep(0.2)
                assert snapshots.current().targets[world.endpoint.slug].refusal == ""
            deadline = time.monotonic() + 10
            while snapshots.current().targets[world.endpoint.slug].refusal != "locked":
                assert time.monotonic() < deadline
                time.sleep(0.02)
        finally:
            snapshots.stop()
