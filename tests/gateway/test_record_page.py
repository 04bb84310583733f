"""What the page of a call shows beside its record: names, and links for whoever may follow them."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from approvals.models import Approval, Choice, Vote
from audit import ids
from gateway.identity.authz import role_grant
from gateway.models import Area, User
from gateway.templatetags.evidence import held_requests, rules_named, version_named

from . import world

pytestmark = pytest.mark.django_db


def auditor(name: str, area: Area) -> User:
    person = world.person(name, group=f"{name}s")
    role_grant(group=Group.objects.get(name=f"{name}s"), role="auditor", area=area, by=None)
    return person


def approval_in(area: str, *voters: tuple[str, Choice]) -> Approval:
    now = timezone.now()
    approval = Approval.objects.create(
        epoch=1,
        call_id=ids.new(),
        request_hmac=uuid4().bytes * 2,
        sent_digest=bytes(32),
        requester_id=uuid4(),
        requester_kind="person",
        requester_name="alice",
        area=area,
        endpoint_id=uuid4(),
        endpoint="chat",
        access_rule_id=uuid4(),
        policy_version_id=uuid4(),
        schema_version_id=uuid4(),
        created_at=now,
        expires_at=now + timedelta(hours=1),
    )
    for at, (name, choice) in enumerate(voters):
        Vote.objects.create(
            approval=approval,
            person_id=uuid4(),
            name=name,
            choice=choice,
            reason=f"{name} says so",
            seen_digest=bytes(32),
            requester_id=approval.requester_id,
            at=now + timedelta(seconds=at),
        )
    return approval


def test_rules_go_by_their_names_and_those_that_are_gone_by_their_ids() -> None:
    policy = world.published_policy()
    rule = policy.versions.get(number=1).rules.get()
    gone = str(uuid4())
    assert rules_named([str(rule.pk), gone, "no id"]) == ["a rule", gone, "no id"]
    assert rules_named(None) == []


def test_versions_are_linked_for_whoever_may_read_them() -> None:
    policy = world.published_policy()
    version = policy.versions.get(number=1)
    here, elsewhere = auditor("dave", world.area()), auditor("dora", world.area("walled"))
    found = version_named("policy", str(version.pk), "House@1", here)
    assert found.name == "House@1" and str(version.pk) in found.link
    assert version_named("policy", str(version.pk), "House@1", elsewhere).link == ""
    assert version_named("schema", str(version.pk), "Acme@1", here).link == ""  # it is no schema's
    assert version_named("policy", {"odd": 1}, "House@1", here).link == ""


def test_a_held_request_is_told_with_its_votes_in_its_own_area() -> None:
    approval = approval_in("default", ("rita", Choice.APPROVE), ("ravi", Choice.DENY))
    (held,) = held_requests([str(approval.pk), "no id"], auditor("dave", world.area()))
    assert [(vote.name, vote.reason) for vote in held.votes] == [
        ("rita", "rita says so"),
        ("ravi", "ravi says so"),
    ]
    assert held.link == f"/review/{approval.pk}/"
    assert held_requests([str(approval.pk)], auditor("dora", world.area("walled"))) == []
    assert held_requests([str(UUID(int=1))], world.admin()) == []
