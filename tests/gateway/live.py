"""A ward and a lab, each with an endpoint and a call under way; an operator for each and one for both."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Group
from django.utils import timezone

from audit import ids
from audit.models import Call, Instance
from gateway.identity.authz import role_grant
from gateway.models import ApiKey, Area, Endpoint, User
from tests.gateway.world import area, endpoint, key_of, person


class World:
    """alice of support calls from the ward; olga operates the ward, omar everything, dave audits."""

    def __init__(self) -> None:
        self.ward, self.lab = area("ward"), area("lab")
        self.chat = endpoint("chat", area=self.ward)
        self.alice = person("alice", group="support")
        self.support = Group.objects.get(name="support")
        self.key: ApiKey = key_of(self.alice)[0]
        self.olga = holder("olga", "operator", self.ward)
        self.omar = holder("omar", "operator")
        self.dave = holder("dave", "auditor", self.lab)
        self.carol = person("carol")
        self.instance = instance()
        self.in_ward = self.call("ward", "chat")
        self.in_lab = self.call("lab", "mice", name="Lab rat", counts={})

    def call(self, place: str, target: str, **fields: Any) -> Call:
        number = ids.new()
        values: dict[str, Any] = {
            "instance_id": self.instance.pk,
            "person_id": self.alice.pk,
            "key_prefix": self.key.prefix,
            "name": "Alice Abara",
            "kind": "person",
            "groups": ["support"],
            "counts": {"EMAIL": 2},
            "highest": "confidential",
            "area": place,
            "endpoint": target,
            "model": "demo",
            "action": "masked",
            "policy": "House@1",
            **fields,
        }
        call = Call(
            id=number,
            started_at=ids.time_of(number),
            stream_id=ids.new(),
            reasons=[],
            rules=[],
            streaming=True,
            request_hmac=b"",
            sent_digest=b"",
            request_size=1,
            **values,
        )
        call.save(force_insert=True)
        return call


def holder(name: str, role: str, place: Area | None = None) -> User:
    user = person(name, group=f"{name}s")
    role_grant(group=Group.objects.get(name=f"{name}s"), role=role, area=place, by=None)
    return user


def instance(*, silent: timedelta = timedelta(0), stopped: bool = False) -> Instance:
    now = timezone.now()
    return Instance.objects.create(
        host="gate1",
        boot="b",
        pid=4711,
        process_start="1",
        started_at=now - timedelta(hours=1),
        heartbeat_at=now - silent,
        stopped_at=now if stopped else None,
    )


def other_endpoint(place: Area) -> Endpoint:
    return endpoint("mice", area=place)
