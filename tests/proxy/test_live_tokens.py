"""Which live calls of bearer tokens may go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.contrib.auth.models import Group

from gateway.models import AccessRule, Area, Identity, Issuer, Lock, ServiceAccount, User
from gateway.proxy import routes, snapshot
from gateway.proxy.errors import ProxyError
from gateway.proxy.ledger import Ledger
from gateway.proxy.live import Live
from gateway.proxy.operations import operation
from gateway.proxy.routes import Route
from gateway.proxy.snapshot import Snapshots
from tests.gateway.world import endpoint, person, published_policy

pytestmark = [pytest.mark.django_db, pytest.mark.database]
ISSUER, PATH, HERE = "https://id.example", "/v1/chat/completions", "192.0.2.7"


class World:
    """alice of support, and nightly, a program of olga's, call with tokens."""

    def __init__(self) -> None:
        self.policy, self.endpoint = published_policy(), endpoint("chat")
        self.alice, self.olga = person("alice", group="support"), person("olga")
        self.support = Group.objects.get(name="support")
        self.batch = Area.objects.create(slug="batch", name="Batch")
        self.nightly = ServiceAccount.objects.create(area=self.batch, name="nightly", owner=self.olga)
        self.nightly.groups.add(self.support)
        AccessRule.objects.create(group=self.support, endpoint=self.endpoint, policy=self.policy)
        self.issuer = Issuer.objects.create(name="House", issuer=ISSUER, audiences=["postern"])
        Identity.objects.create(issuer=ISSUER, subject="alice", user=self.alice)
        Identity.objects.create(issuer=ISSUER, subject="nightly", service_account=self.nightly)
        self.robot = ServiceAccount.objects.create(area=self.batch, name="robot", owner=person("rita"))
        Identity.objects.create(issuer=ISSUER, subject="robot", service_account=self.robot)

    def call(self, subject: str) -> Ledger:
        view, now, ledger = snapshot.build(1), time.time(), Ledger()
        head: Any = SimpleNamespace(method="POST", path=f"/proxy/chat{PATH}", network=HERE)
        base = view.known[ISSUER, subject].caller
        given: Any = SimpleNamespace(
            issuer=ISSUER,
            issued_subject=subject,
            actor=("robot",),
            acting=((ISSUER, "robot"),),
            expires_at=now - 60,
            since=1,
        )
        ledger.head, ledger.caller = head, base.vouched_for(given)  # its token has expired since
        ledger.target, path = view.target(head.path)
        access = view.grant(ledger.caller, ledger.target, path, HERE, "m", now)
        wire = operation(ledger.target.kind, "POST", path)
        ledger.route = Route(ledger.target, wire, path, access, routes.policy_of(access))
        ledger.exchange = cast(Any, SimpleNamespace(recorded=b"", shape=SimpleNamespace(model="m")))
        return ledger


def lock(**target: object) -> None:
    Lock.objects.create(reason="incident", **target)


CHANGES: list[tuple[str, Callable[[World], object], str, str]] = [
    ("nothing but the token's time", lambda w: None, "", ""),
    ("the person is locked", lambda w: lock(user=w.alice), "cut_locked", ""),
    ("the people have left", lambda w: User.objects.update(is_active=False), "cut_locked", "cut_locked"),
    ("they left the group", lambda w: w.alice.groups.clear(), "cut_no_access", ""),
    ("the account is locked", lambda w: lock(service_account=w.nightly), "", "cut_locked"),
    ("its owner is locked", lambda w: lock(user=w.olga), "", "cut_locked"),
    ("its area is locked", lambda w: lock(area=w.batch), "cut_locked", "cut_locked"),
    ("who acts for them is locked", lambda w: lock(service_account=w.robot), "cut_locked", "cut_locked"),
    ("their group is locked", lambda w: lock(group=w.support), "cut_locked", "cut_locked"),
    ("the issuer is off", lambda w: Issuer.objects.update(enabled=False), "cut_revoked", "cut_revoked"),
    ("they are not known there", lambda w: Identity.objects.all().delete(), "cut_revoked", "cut_revoked"),
    ("everything is locked", lambda w: lock(everything=True), "cut_locked", "cut_locked"),
]


@pytest.mark.parametrize(
    ("change", "alice", "nightly"), [r[1:] for r in CHANGES], ids=[r[0] for r in CHANGES]
)
def test_a_call_goes_on_while_its_caller_could_call_again(
    change: Callable[[World], object], alice: str, nightly: str
) -> None:
    world = World()
    calls = [world.call("alice"), world.call("nightly")]
    change(world)
    found = [Live(Snapshots())._asked(call, snapshot.build(2), time.time()) for call in calls]
    assert [each.code if isinstance(each, ProxyError) else "" for each in found] == [alice, nightly]


def test_a_caller_who_was_met_after_the_snapshot_goes_on_until_a_later_one_has_them_or_not() -> None:
    call = World().call("alice")
    lost = "cut_revoked"
    for revision, end in ((0, ""), (1, ""), (2, lost)):
        found = Live(Snapshots())._asked(call, snapshot.build(revision, names=[]), time.time())
        assert (found.code if isinstance(found, ProxyError) else "") == end
