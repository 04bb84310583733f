"""The small world of held requests: alice asks, and so does the program robot, for which olga answers; rita
and ravi review, dave audits, greta may break the glass, carol is a stranger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import Group
from django.core.cache import cache
from django.utils import timezone

from approvals import services
from approvals.digests import seen_digest
from approvals.models import Approval, Choice
from approvals.moves import epoch
from gateway.identity.authz import role_grant
from gateway.identity.keys import api_key_create
from gateway.models import Area, ServiceAccount, User
from tests.gateway import world as house

ROLES = {"rita": "reviewer", "ravi": "reviewer", "dave": "auditor", "greta": "emergency", "ann": "admin"}


class World:
    def __init__(self) -> None:
        cache.clear()  # how often somebody asked is another test's
        self.ward = house.area("ward")
        self.lab = house.area("lab")
        self.alice, self.olga, self.carol = (house.person(name) for name in ("alice", "olga", "carol"))
        self.robot = ServiceAccount.objects.create(area=self.ward, name="robot", owner=self.olga)
        for name, role in ROLES.items():
            setattr(self, name, self.official(name, role))

    rita: User
    ravi: User
    dave: User
    greta: User
    ann: User

    def official(self, name: str, role: str, area: Area | None = None, group: str = "") -> User:
        held = Group.objects.get_or_create(name=group or f"{role}s")[0]
        role_grant(group=held, role=role, by=None, area=area or self.ward)
        return house.person(name, group=held.name, email=f"{name}@ward.example")

    def approval(self, by: Any = None, **fields: Any) -> Approval:
        """A held request of alice's, or of the program's."""
        now, asker = timezone.now(), by or self.alice
        service = isinstance(asker, ServiceAccount)
        values: dict[str, Any] = {
            "epoch": epoch(),
            "call_id": uuid4(),
            "request_hmac": uuid4().bytes * 2,
            "sent_digest": bytes(32),
            "requester_id": asker.pk,
            "requester_kind": "service" if service else "person",
            "requester_name": str(asker),
            "owner_id": asker.owner_id if service else None,
            "area": "ward",
            "endpoint_id": uuid4(),
            "endpoint": "chat",
            "model": "m",
            "access_rule_id": uuid4(),
            "policy_version_id": uuid4(),
            "schema_version_id": uuid4(),
            "policy": "clinicians@3",
            "reasons": ["SSN is held"],
            "counts": {"SSN": 1},
            "highest": "confidential",
            "risk": 40,
            "score": [[40, "SSN"]],
            "purpose": "a discharge letter",
            "created_at": now,
            "expires_at": now + timedelta(hours=1),
        }
        return Approval.objects.create(**{**values, **fields})

    def key(self, holder: User | ServiceAccount, **fields: Any) -> str:
        who = {"service_account" if isinstance(holder, ServiceAccount) else "user": holder}
        until = timezone.now() + timedelta(days=1)
        row, secret = api_key_create(name="k", expires_at=until, by=None, **who)
        for name, value in fields.items():
            setattr(row, name, value)
        row.save()
        return secret.reveal()


def decide(row: Approval, by: User, choice: Choice = Choice.APPROVE, reason: str = "looked at it") -> None:
    services.approval_decide(
        approval_id=row.pk, by=by, choice=choice, reason=reason, seen=seen_digest(row), emergency=False
    )
