"""alice asks, bob asks and reviews, rita and ravi review, erin may break the glass, dave audits, carol is a
stranger: one area `ward`, and one more behind its wall."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from approvals.digests import seen_digest
from approvals.models import Approval
from approvals.moves import epoch
from audit.models import Entry, Store
from gateway.identity.authz import role_grant
from gateway.models import Area, User
from tests.gateway import world as house


class Ward:
    def __init__(self) -> None:
        Store.objects.get_or_create(pk=1, defaults={"created_at": timezone.now()})
        self.ward, self.other = house.area("ward"), house.area("other")
        self.alice, self.carol = house.person("alice"), house.person("carol")
        self.reviewers = self.group("reviewers", "reviewer", self.ward)
        self.bob, self.rita, self.ravi = (self.member(name, "reviewers") for name in ("bob", "rita", "ravi"))
        self.group("firefighters", "emergency", self.ward)
        self.erin = self.member("erin", "firefighters")
        self.group("auditors", "auditor", self.ward)
        self.dave = self.member("dave", "auditors")
        self.group("strangers", "reviewer", self.other)
        self.stan = self.member("stan", "strangers")

    def group(self, name: str, role: str, area: Area | None) -> Group:
        group = Group.objects.create(name=name)
        role_grant(group=group, role=role, by=None, area=area)
        return group

    def member(self, name: str, group: str) -> User:
        return house.person(name, group=group)

    def asks(self, person: User | None = None, **fields: Any) -> Approval:
        """A request that waits; alice's, if nothing else is said."""
        now, person = timezone.now(), person or self.alice
        values: dict[str, Any] = {
            "epoch": epoch(),
            "call_id": uuid4(),
            "request_hmac": uuid4().bytes * 2,
            "sent_digest": bytes(32),
            "requester_id": person.pk,
            "requester_kind": "person",
            "requester_name": person.username,
            "area": "ward",
            "endpoint_id": uuid4(),
            "endpoint": "chat",
            "access_rule_id": uuid4(),
            "policy_version_id": uuid4(),
            "schema_version_id": uuid4(),
            "policy": "House@1",
            "highest": "confidential",
            "reasons": ["EMAIL found; rule “mail waits” holds the call."],
            "counts": {"EMAIL": 1},
            "created_at": now,
            "expires_at": now + timedelta(hours=1),
        }
        return Approval.objects.create(**{**values, **fields})


def browser(person: User, **how: Any) -> Client:
    client = Client(**how)
    client.force_login(person)
    return client


def url(name: str, approval: Approval | None = None) -> str:
    return reverse(f"review:{name}", args=[approval.pk] if approval else [])


def vote(person: User, approval: Approval, choice: str = "approve", **more: Any) -> Any:
    """As the page's form does it."""
    seen = {"seen": seen_digest(Approval.objects.get(pk=approval.pk)).hex()}
    body = {"choice": choice, **seen, **more}
    return browser(person).post(url("decide", approval), body, follow=True)


def status(approval: Approval) -> str:
    return str(Approval.objects.values_list("status", flat=True).get(pk=approval.pk))


def events() -> list[str]:
    """Names of what is on record about approvals, in order."""
    rows = Entry.objects.filter(kind="event").order_by("id").values_list("meta", flat=True)
    names = [str(json.loads(bytes(meta))["event"]) for meta in rows]
    return [name for name in names if name.startswith("approval.")]
