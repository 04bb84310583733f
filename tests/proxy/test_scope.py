"""What a key is restricted to: key × endpoint × model × address × groups, as the data path decides it.

alice is in support and clinic. Support may call `chat`, clinic may call `notes`; both take any model.
"""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from gateway.identity.keys import api_key_create, digest
from gateway.identity.membership import membership_set
from gateway.identity.scope import KeyScope, scope_checked
from gateway.models import AccessRule, User
from gateway.proxy import routes, snapshot
from gateway.proxy.errors import ProxyError
from gateway.proxy.operations import operation
from gateway.proxy.routes import Snapshot
from gateway.proxy.scope import EVERYWHERE, Scope
from tests.gateway.world import endpoint, person, published_policy

pytestmark = pytest.mark.django_db

HERE, THERE, SIX = "192.0.2.7", "198.51.100.9", "2001:db8::5"
LET_IN, NOT_HERE, NO_ACCESS = "", "key_not_allowed_here", "no_access"

# name: groups, endpoints, models, networks
SCOPES: dict[str, tuple[tuple[str, ...], ...]] = {
    "anything": ((), (), (), ()),
    "support only": (("support",), (), (), ()),
    "both groups": (("support", "clinic"), (), (), ()),
    "chat only": ((), ("chat",), (), ()),
    "both endpoints": ((), ("chat", "notes"), (), ()),
    "small only": ((), (), ("small",), ()),
    "two models": ((), (), ("small", "large"), ()),
    "from here": ((), (), (), ("192.0.2.0/24",)),
    "from two nets": ((), (), (), ("192.0.2.7/32", "2001:db8::/32")),
    "all of it": (("support",), ("chat",), ("small",), ("192.0.2.0/24",)),
    "at odds": (("clinic",), ("chat",), (), ()),
}

TABLE = [
    # key, endpoint, model, address, the answer
    ("anything", "chat", "small", HERE, LET_IN),
    ("anything", "notes", "large", SIX, LET_IN),
    ("anything", "chat", "", "", LET_IN),
    ("support only", "chat", "small", HERE, LET_IN),
    ("support only", "notes", "small", HERE, NO_ACCESS),
    ("both groups", "chat", "small", HERE, LET_IN),
    ("both groups", "notes", "small", HERE, LET_IN),
    ("chat only", "chat", "small", HERE, LET_IN),
    ("chat only", "chat", "large", SIX, LET_IN),
    ("chat only", "notes", "small", HERE, NOT_HERE),
    ("both endpoints", "chat", "small", HERE, LET_IN),
    ("both endpoints", "notes", "small", THERE, LET_IN),
    ("small only", "chat", "small", HERE, LET_IN),
    ("small only", "chat", "large", HERE, NOT_HERE),
    ("small only", "chat", "", HERE, NOT_HERE),
    ("small only", "chat", "Small", HERE, NOT_HERE),
    ("small only", "notes", "small", HERE, LET_IN),
    ("small only", "notes", "small ", HERE, NOT_HERE),
    ("two models", "chat", "large", HERE, LET_IN),
    ("two models", "chat", "huge", HERE, NOT_HERE),
    ("from here", "chat", "small", HERE, LET_IN),
    ("from here", "chat", "small", "::ffff:192.0.2.7", LET_IN),
    ("from here", "chat", "small", THERE, NOT_HERE),
    ("from here", "notes", "small", SIX, NOT_HERE),
    ("from here", "chat", "small", "", NOT_HERE),
    ("from here", "chat", "small", "unix", NOT_HERE),
    ("from two nets", "chat", "small", HERE, LET_IN),
    ("from two nets", "chat", "small", SIX, LET_IN),
    ("from two nets", "chat", "small", "192.0.2.8", NOT_HERE),
    ("all of it", "chat", "small", HERE, LET_IN),
    ("all of it", "notes", "small", HERE, NOT_HERE),
    ("all of it", "chat", "large", HERE, NOT_HERE),
    ("all of it", "chat", "small", THERE, NOT_HERE),
    ("at odds", "chat", "small", HERE, NO_ACCESS),
    ("at odds", "notes", "small", HERE, NOT_HERE),
]


class World:
    def __init__(self) -> None:
        policy = published_policy()
        self.alice = person("alice", group="support")
        self.groups = {name: Group.objects.get_or_create(name=name)[0] for name in ("support", "clinic")}
        self.alice.groups.add(self.groups["clinic"])
        for group, slug in (("support", "chat"), ("clinic", "notes")):
            AccessRule.objects.create(group=self.groups[group], endpoint=endpoint(slug), policy=policy)

    def key(self, name: str) -> bytes:
        groups, endpoints, models, networks = SCOPES[name]
        scope = scope_checked(
            holder=self.alice,
            groups=[self.groups[each] for each in groups],
            endpoints=endpoints,
            models=models,
            networks=networks,
        )
        return key_of(self.alice, scope)

    def snapshot(self) -> Snapshot:
        return snapshot.build(snapshot.revision())


def key_of(alice: User, scope: KeyScope) -> bytes:
    until = timezone.now() + timedelta(days=1)
    _, secret = api_key_create(name="job", user=alice, expires_at=until, scope=scope, by=None)
    return digest(secret.reveal())


def answer(view: Snapshot, key: bytes, slug: str, model: str, address: str) -> str:
    now, path = time.time(), "/v1/chat/completions"
    try:
        caller = view.caller(key, now)
        target, _ = view.target(f"/proxy/{slug}{path}")
        candidates, first = view.candidates(caller, target, path, address, now)
        if candidates.settled and not caller.scope.models:  # as `_Call._resolve` does it
            routes.policy_of(first)
        else:
            wire = operation(target.kind, "POST", path)
            routes.Undecided(candidates, target, wire, path, now, caller.scope).under(model)
        assert view.grant(caller, target, path, address, model, now)
    except ProxyError as error:
        with pytest.raises(type(error)):
            view.grant(caller, target, path, address, model, now)
        assert (error.status, error.retry) == (403, False)
        return error.code
    return LET_IN


def test_the_table() -> None:
    world = World()
    keys = {name: world.key(name) for name in SCOPES}
    view = world.snapshot()
    asked = [row[:4] for row in TABLE]
    assert [(*row, answer(view, keys[row[0]], *row[1:])) for row in asked] == TABLE


def test_a_key_without_restrictions_asks_nothing_per_call() -> None:
    world = World()
    plain = world.key("support only")
    caller = world.snapshot().caller(plain, time.time())
    assert caller.scope is EVERYWHERE
    assert caller.groups == ("support",)


def test_leaving_a_group_takes_it_from_every_key() -> None:
    world = World()
    key = world.key("support only")
    assert answer(world.snapshot(), key, "chat", "small", HERE) == LET_IN
    membership_set(member=world.alice, groups=[world.groups["clinic"]], by=None)
    view = world.snapshot()
    assert view.caller(key, time.time()).group_ids == frozenset()  # not all that is left
    assert answer(view, key, "chat", "small", HERE) == NO_ACCESS
    assert answer(view, key, "notes", "small", HERE) == NO_ACCESS


def test_joining_a_group_gives_it_to_keys_that_name_none() -> None:
    world = World()
    plain, some = world.key("anything"), world.key("support only")
    night = Group.objects.create(name="night")
    world.alice.groups.add(night)
    view = world.snapshot()
    assert night.pk in view.caller(plain, time.time()).group_ids
    assert night.pk not in view.caller(some, time.time()).group_ids


def test_a_refusal_names_neither_what_else_the_key_may_do_nor_the_endpoint() -> None:
    scope = Scope(endpoints=frozenset({"payroll"}), models=frozenset({"secret-model"}))
    for check in (lambda: scope.check_place("chat", HERE), lambda: scope.check_model("m")):
        with pytest.raises(ProxyError) as refusal:
            check()
        assert "payroll" not in refusal.value.message and "secret" not in refusal.value.message
