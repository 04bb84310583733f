"""What the database holds about an approval, whoever writes it."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from approvals.models import OPEN, TRANSITIONS, Approval, Status
from tests.gateway import world

pytestmark = pytest.mark.django_db


def approval(**fields: object) -> Approval:
    now = timezone.now()
    values: dict[str, object] = {
        "epoch": 1,
        "call_id": uuid4(),
        "request_hmac": b"h" * 32,
        "sent_digest": b"d" * 32,
        "requester_id": uuid4(),
        "requester_kind": "person",
        "requester_name": "alice",
        "area": "default",
        "endpoint_id": uuid4(),
        "endpoint": "chat",
        "access_rule_id": uuid4(),
        "policy_version_id": uuid4(),
        "schema_version_id": uuid4(),
        "created_at": now,
        "expires_at": now + timedelta(hours=1),
    }
    return Approval.objects.create(**{**values, **fields})


def refused(name: str, **fields: object) -> None:
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        approval(**fields)


def test_a_request_has_one_open_approval_at_a_time() -> None:
    first = approval()
    with pytest.raises(IntegrityError), transaction.atomic():
        approval(requester_id=first.requester_id)
    Approval.objects.update(status=Status.EXPIRED)
    approval(requester_id=first.requester_id)


def test_the_same_text_of_another_person_is_another_request() -> None:
    approval()
    approval(requester_id=uuid4())


def test_nobody_decides_their_own_request_or_that_of_their_service_account() -> None:
    decided = {"status": Status.APPROVED, "decided_at": timezone.now()}
    alice = uuid4()
    refused("four_eyes", requester_id=alice, decided_by=alice, **decided)
    refused("four_eyes", requester_kind="service", owner_id=alice, decided_by=alice, **decided)
    approval(requester_id=alice, decided_by=uuid4(), **decided)


def test_a_decision_names_who_decided_and_when() -> None:
    refused("decided_iff_decided", status=Status.APPROVED)
    refused("decided_iff_decided", status=Status.DENIED, decided_at=timezone.now())
    refused("decided_iff_decided", status=Status.PENDING, decided_at=timezone.now())


def test_a_consumed_grant_names_the_call_that_used_it() -> None:
    decided = {"decided_at": timezone.now(), "decided_by": uuid4()}
    refused("consumed_once", status=Status.CONSUMED, **decided)
    refused("consumed_once", status=Status.APPROVED, consumed_at=timezone.now(), **decided)
    approval(status=Status.CONSUMED, consumed_at=timezone.now(), consumed_call_id=uuid4(), **decided)


def test_a_service_account_has_an_owner_and_a_person_has_none() -> None:
    refused("requester_known", requester_kind="service")
    refused("requester_known", owner_id=uuid4())


def test_it_expires_after_it_began() -> None:
    now = timezone.now()
    refused("expires_later", created_at=now, expires_at=now)


def test_every_open_state_has_a_way_out_and_every_end_has_none() -> None:
    assert set(OPEN) == {Status.PENDING, Status.APPROVED}
    ends = {status for ways in TRANSITIONS.values() for status in ways} - set(OPEN)
    assert ends | set(OPEN) == set(Status)


def test_the_admin_shows_it_and_changes_nothing() -> None:
    row = approval()
    browser = Client()
    browser.force_login(world.admin())
    page = reverse("admin:approvals_approval_change", args=[row.pk])
    assert browser.get(reverse("admin:approvals_approval_changelist")).status_code == 200
    assert b"Pending" in browser.get(page).content
    assert browser.post(page, {"status": "approved"}).status_code == 403
