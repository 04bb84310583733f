"""Which live calls may go on: what changed, and how the call ends; and how a cut reaches a call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from gateway.identity.keys import api_key_create, api_key_revoke, digest
from gateway.models import AccessRule, Area, Cut, Endpoint, Lock, ServiceAccount, User
from gateway.proxy import routes, snapshot
from gateway.proxy.admission import RequestHead
from gateway.proxy.errors import CallCut, ProxyError, Unavailable
from gateway.proxy.ledger import Ledger
from gateway.proxy.live import Live
from gateway.proxy.operations import operation
from gateway.proxy.patience import Patience
from gateway.proxy.routes import Route, Snapshot
from gateway.proxy.snapshot import CUT_KEPT, Snapshots
from tests.gateway.world import endpoint, key_of, person, published_policy

PATH, HERE = "/v1/chat/completions", "192.0.2.7"


class World:
    """alice of support is calling `chat`, with the model `small`."""

    def __init__(self) -> None:
        self.policy, self.endpoint = published_policy(), endpoint("chat")
        self.alice = person("alice", group="support")
        self.key, self.secret = key_of(self.alice)
        self.support = Group.objects.get(name="support")
        self.rule = self.allow()

    def allow(self, **fields: object) -> AccessRule:
        values = {"group": self.support, "endpoint": self.endpoint, "policy": self.policy, **fields}
        return AccessRule.objects.create(**values)

    def call(self, secret: str = "") -> Ledger:
        """A call that has been let in and inspected."""
        view, now = snapshot.build(1), time.time()
        ledger = Ledger()
        head = SimpleNamespace(method="POST", path=f"/proxy/chat{PATH}", network=HERE)
        ledger.head = cast(RequestHead, head)
        ledger.caller = view.caller(digest(secret or self.secret.reveal()), now)
        ledger.target, path = view.target(ledger.head.path)
        access = view.grant(ledger.caller, ledger.target, path, HERE, "small", now)
        wire = operation(ledger.target.kind, "POST", path)
        ledger.route = Route(ledger.target, wire, path, access, routes.policy_of(access))
        exchange = SimpleNamespace(recorded=b"", shape=SimpleNamespace(model="small"))
        ledger.exchange = cast(Any, exchange)
        return ledger


@pytest.fixture
def world() -> World:
    return World()


def verdict(ledger: Ledger, view: Snapshot | None = None, now: float | None = None) -> str:
    """How the call ends; empty when it goes on."""
    live = Live(Snapshots())
    found = live._asked(ledger, view or snapshot.build(2), now or time.time())
    return found.code if isinstance(found, ProxyError) else ""


def lock(**target: object) -> None:
    Lock.objects.create(reason="incident", **target)


def update(model: Any, **values: object) -> None:
    model.objects.update(**values)


CHANGES: list[tuple[str, Callable[[World], object], str]] = [
    ("nothing", lambda w: None, ""),
    ("their person is locked", lambda w: lock(user=w.alice), "cut_locked"),
    ("their key is locked", lambda w: lock(api_key=w.key), "cut_locked"),
    ("another key is locked", lambda w: lock(api_key=key_of(w.alice)[0]), ""),
    ("a group of theirs is locked", lambda w: lock(group=w.support), "cut_locked"),
    ("another group is locked", lambda w: lock(group=Group.objects.create(name="other")), ""),
    ("the endpoint is locked", lambda w: lock(endpoint=w.endpoint), "cut_closed"),
    ("another endpoint is locked", lambda w: lock(endpoint=endpoint("other")), ""),
    ("the area is locked", lambda w: lock(area=w.endpoint.area), "cut_closed"),
    ("another area is locked", lambda w: lock(area=Area.objects.create(slug="x", name="X")), ""),
    ("everything is locked", lambda w: lock(everything=True), "cut_locked"),
    ("a lock was lifted", lambda w: lock(everything=True, lifted_at=timezone.now()), ""),
    ("a lock ran out", lambda w: lock(user=w.alice, expires_at=timezone.now()), ""),
    ("the person has left", lambda w: update(User, is_active=False), "cut_locked"),
    ("the person is gone", lambda w: w.alice.delete(), "cut_revoked"),
    ("the key is revoked", lambda w: api_key_revoke(key=w.key, by=None), "cut_revoked"),
    ("they left the group", lambda w: w.alice.groups.clear(), "cut_no_access"),
    ("the rule is gone", lambda w: w.rule.delete(), "cut_no_access"),
    ("the rule is disabled", lambda w: update(AccessRule, enabled=False), "cut_no_access"),
    ("the rule has ended", lambda w: update(AccessRule, expires_at=timezone.now()), "cut_no_access"),
    ("the rule allows the model", lambda w: update(AccessRule, allowed_models=["small"]), ""),
    ("the rule allows others", lambda w: update(AccessRule, allowed_models=["large"]), "cut_no_access"),
    ("the rule allows the path", lambda w: update(AccessRule, allowed_paths=["/v1/*"]), ""),
    ("the rule allows other paths", lambda w: update(AccessRule, allowed_paths=["/v2/*"]), "cut_no_access"),
    ("the rule allows the address", lambda w: update(AccessRule, networks=["192.0.2.0/24"]), ""),
    ("the rule allows others", lambda w: update(AccessRule, networks=["10.0.0.0/8"]), "cut_no_access"),
    ("another rule comes first", lambda w: w.allow(priority=1), ""),
    ("only another rule is left", lambda w: (w.allow(priority=200), w.rule.delete()), "cut_no_access"),
    ("the endpoint is disabled", lambda w: update(Endpoint, enabled=False), "cut_closed"),
    ("the endpoint is gone", lambda w: w.endpoint.delete(), "cut_closed"),
    ("it is another of that name", lambda w: (w.endpoint.delete(), endpoint("chat")), "cut_closed"),
]


@pytest.mark.django_db
@pytest.mark.database
@pytest.mark.parametrize(("change", "end"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_call_goes_on_while_it_would_still_be_let_in(
    world: World, change: Callable[[World], object], end: str
) -> None:
    call = world.call()
    change(world)
    assert verdict(call) == end


@pytest.mark.django_db
@pytest.mark.database
def test_a_call_ends_with_its_key(world: World) -> None:
    view, ledger = snapshot.build(1), world.call()
    assert verdict(ledger, view, world.key.expires_at.timestamp()) == "cut_revoked"


@pytest.mark.django_db
@pytest.mark.database
@pytest.mark.parametrize("locked", ["account", "owner", "area", "group"])
def test_a_service_account_is_stopped_with_what_it_hangs_on(world: World, locked: str) -> None:
    area = Area.objects.create(slug="batch", name="Batch")
    account = ServiceAccount.objects.create(area=area, name="nightly", owner=person("olga"))
    account.groups.add(world.support)
    expires = timezone.now() + timedelta(days=1)
    _, secret = api_key_create(name="job", service_account=account, expires_at=expires, by=None)
    call = world.call(secret.reveal())
    targets = {
        "account": {"service_account": account},
        "owner": {"user": account.owner},
        "area": {"area": area},
        "group": {"group": world.support},
    }
    lock(**targets[locked])
    assert verdict(call) == "cut_locked"


@pytest.mark.django_db
@pytest.mark.database
def test_a_cut_ends_one_call_and_is_told_for_a_while(world: World) -> None:
    first, second = world.call(), world.call()
    cut = Cut.objects.create(call_id=first.id, reason="runaway")
    assert (verdict(first), verdict(second)) == ("cut_by_hand", "")
    Cut.objects.filter(pk=cut.pk).update(created_at=timezone.now() - CUT_KEPT)
    assert first.id not in snapshot.build(3).cuts


@pytest.mark.django_db
@pytest.mark.database
def test_a_call_whose_model_is_not_known_yet_waits_for_the_next_look(world: World) -> None:
    call = world.call()
    assert call.exchange is not None
    call.exchange.recorded = None
    AccessRule.objects.update(allowed_models=["large"])
    assert verdict(call) == ""
    call.exchange.recorded = cast(Any, b"")
    assert verdict(call) == "cut_no_access"


@pytest.mark.django_db
@pytest.mark.database
def test_doubt_ends_the_call(world: World) -> None:
    call = world.call()
    with mock.patch.object(Snapshot, "again", side_effect=ZeroDivisionError):
        assert verdict(call) == "internal_error"


class Waiting:
    """A call that waits for something that never comes."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.patience: Patience = None  # type: ignore[assignment]  # made by its task
        self.ended: ProxyError | None = None

    async def run(self, live: Live, *, watched: bool = True) -> None:
        self.patience = Patience(asyncio.Event().wait)  # type: ignore[arg-type]
        live.enter(self)
        try:
            if watched:
                self.patience.watch()
            with self.patience.limit(30):
                await asyncio.sleep(0.05 if not watched else 60)
            self.patience.watch()
        except CallCut as cut:
            self.ended = cut
        except asyncio.CancelledError:
            self.ended = self.patience.was_cut()
        self.patience.end()
        live.leave(self)


def looked_at(live: Live, *, watched: bool, why: ProxyError) -> Waiting:
    async def main() -> Waiting:
        call = Waiting()
        with mock.patch.object(live, "_asked", return_value=why):
            task = asyncio.create_task(call.run(live, watched=watched))
            await asyncio.sleep(0)
            await live.look()
            await asyncio.wait_for(task, 1)
            assert task.cancelling() == 0
        return call

    return asyncio.run(main())


def fresh(*, stale: bool = False) -> Live:
    snapshots = Snapshots()
    if not stale:
        snapshots._snapshot, snapshots._read_at = Snapshot(1, {}, {}, {}), time.monotonic()
    return Live(snapshots)


@pytest.mark.parametrize("watched", [True, False])
def test_a_cut_ends_a_wait_at_once_or_the_call_where_it_may_be_interrupted(watched: bool) -> None:
    live, why = fresh(), CallCut("cut_locked", "…")
    assert looked_at(live, watched=watched, why=why).ended is why
    assert len(live) == 0


def test_a_process_that_cannot_read_its_configuration_ends_all_its_calls() -> None:
    call = looked_at(fresh(stale=True), watched=True, why=CallCut("unused", "…"))
    assert isinstance(call.ended, Unavailable) and call.ended.code == "configuration_stale"


def test_a_call_is_asked_again_when_something_changed_or_its_time_is_up() -> None:
    snapshots = Snapshots()
    snapshots._snapshot, snapshots._read_at = Snapshot(1, {}, {}, {}), time.monotonic()
    live, call = Live(snapshots), Waiting()
    live.enter(call)

    async def looks(until: float) -> int:
        with mock.patch.object(live, "_asked", return_value=until) as asked:
            for _ in range(3):
                await live.look()
        return int(asked.call_count)

    assert asyncio.run(looks(until=0)) == 3
    assert asyncio.run(looks(until=float("inf"))) == 1
    assert asyncio.run(looks(until=float("inf"))) == 0
    snapshots._snapshot = Snapshot(2, {}, {}, {})
    assert asyncio.run(looks(until=float("inf"))) == 1


def test_whoever_looks_survives_an_error() -> None:
    live = fresh()

    async def main() -> None:
        with (
            mock.patch("gateway.proxy.live.LOOK", 0.01),
            mock.patch.object(live, "look", side_effect=ZeroDivisionError) as look,
        ):
            live.start()
            await asyncio.sleep(0.1)
            live.stop()
        assert look.call_count > 1

    asyncio.run(main())
