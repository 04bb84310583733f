"""Stops callers, endpoints and calls on a house's store and lets them go on again, by words on its input.

    python -m tests.server.warden

First it makes its cast and prints their keys; then it answers each line (`stop key`, `free key`,
`cut <call id>`) with the moment at which that was done.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import django

if __name__ == "__main__":
    django.setup()

from django.contrib.auth.models import Group
from django.utils import timezone

from gateway import services
from gateway.identity.keys import api_key_create, api_key_revoke
from gateway.identity.membership import membership_set
from gateway.models import AccessRule, ApiKey, Area, Endpoint, Lock, ServiceAccount, User

CAST = ("person", "key", "group", "owner", "inactive", "revoked", "outsider", "ruleless", "cut", "waiting")
"""Each is stopped in one way; `bystander` only by what stops everybody."""


def make(name: str) -> str:
    """A caller with a group and a rule of their own; returns their key."""
    group = Group.objects.create(name=f"of-{name}")
    chat = Endpoint.objects.get(slug="chat")
    policy = AccessRule.objects.filter(endpoint=chat).first()
    assert policy is not None
    AccessRule.objects.create(group=group, endpoint=chat, policy=policy.policy)
    user = User.objects.create_user(name)
    membership_set(member=user, groups=[group], by=None)
    holder: dict[str, User | ServiceAccount] = {"user": user}
    if name == "owner":
        account = ServiceAccount.objects.create(area=chat.area, name="owned", owner=user)
        membership_set(member=account, groups=[group], by=None)
        holder = {"service_account": account}
    expires = timezone.now() + timedelta(days=1)
    _, secret = api_key_create(name="test", expires_at=expires, by=None, **holder)  # type: ignore[arg-type]
    return secret.reveal()


def user(name: str) -> User:
    return User.objects.get(username=name)


def key(name: str) -> ApiKey:
    return ApiKey.objects.get(user__username=name)


def lock(**target: object) -> None:
    services.lock_set(by=None, reason="incident", **target)  # type: ignore[arg-type]


def rules(name: str, *, enabled: bool) -> None:
    for rule in AccessRule.objects.filter(group__name=f"of-{name}"):
        rule.enabled = enabled
        rule.save()


def member(name: str, *groups: str) -> None:
    membership_set(member=user(name), groups=list(Group.objects.filter(name__in=groups)), by=None)


def active(name: str, *, is_active: bool) -> None:
    person = user(name)
    person.is_active = is_active
    person.save()


STOPS: dict[str, Callable[[], object]] = {
    "person": lambda: lock(user=user("person")),
    "key": lambda: lock(api_key=key("key")),
    "group": lambda: lock(group=Group.objects.get(name="of-group")),
    "owner": lambda: lock(user=user("owner")),
    "inactive": lambda: active("inactive", is_active=False),
    "revoked": lambda: api_key_revoke(key=key("revoked"), by=None),
    "outsider": lambda: member("outsider"),
    "ruleless": lambda: rules("ruleless", enabled=False),
    "waiting": lambda: lock(user=user("waiting")),
    "endpoint": lambda: lock(endpoint=Endpoint.objects.get(slug="chat")),
    "area": lambda: lock(area=Area.objects.get()),
    "everything": lambda: lock(everything=True),
}
FREES: dict[str, Callable[[], object]] = {
    "inactive": lambda: active("inactive", is_active=True),
    "outsider": lambda: member("outsider", "of-outsider"),
    "ruleless": lambda: rules("ruleless", enabled=True),
}


def lift() -> None:
    for each in Lock.objects.filter(lifted_at=None):
        services.lock_lift(lock=each, by=None)


def main() -> None:
    print(json.dumps({name: make(name) for name in (*CAST, "bystander")}), flush=True)
    for line in sys.stdin:
        verb, *names = line.split()
        for name in names:
            if verb == "stop":
                STOPS[name]()
            elif verb == "free":
                FREES.get(name, lift)()
            else:
                services.call_cut(call_id=UUID(name), by=None, reason="runaway")
        print(json.dumps(time.time()), flush=True)


if __name__ == "__main__":
    main()
