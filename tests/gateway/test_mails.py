"""Mails about held requests, to whoever may decide and whoever asked, by a real SMTP server."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.checks import run_checks
from django.test import Client
from django.utils import timezone

from approvals import services, sweeps
from approvals.models import Choice
from gateway.models import Delivery, DeliveryState, MailsOff
from gateway.notifying import sending
from gateway.notifying.recipients import ASKED
from tests.approvals.people import World, decide
from tests.gateway.receiver import Mailbox, mailbox, settings_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def post() -> Iterator[Mailbox]:
    with mailbox() as made:
        yield made


@pytest.fixture
def small(post: Mailbox, monkeypatch: pytest.MonkeyPatch) -> World:
    for name, value in settings_for(post).items():
        monkeypatch.setattr(settings, name, value)
    return World()


def due_now() -> None:
    Delivery.objects.filter(state=DeliveryState.DUE).update(next_at=timezone.now())


def recipients(post: Mailbox) -> list[str]:
    return sorted(to.partition("@")[0] for to, _ in post.got)


def test_whoever_may_decide_is_asked_once_and_nobody_else(small: World, post: Mailbox) -> None:
    small.official("lars", "reviewer", area=small.lab, group="lab reviewers")
    row = small.approval()
    for _ in range(3):
        sending.sweep()
    assert recipients(post) == ["ravi", "rita"]  # no auditor, no administrator, nobody of the lab
    text = post.got[0][1]
    assert f"https://postern.example/review/{row.pk}/" in text
    assert "Subject: A held request waits for your decision" in text
    assert "Content-Type: text/plain" in text and "From: postern@ward.example" in text


def test_only_the_groups_that_the_policy_names_are_asked_and_later_those_it_escalates_to(
    small: World, post: Mailbox
) -> None:
    small.official("sara", "reviewer", group="seniors")
    small.approval(reviewers=["reviewers"], escalate_to=["seniors"], escalate_at=timezone.now())
    sending.sweep()
    assert recipients(post) == ["ravi", "rita"]
    sweeps.approvals_escalate()
    sending.sweep()
    assert recipients(post) == ["ravi", "rita", "sara"]


def test_nobody_is_asked_about_their_own_request_or_their_program_s(small: World, post: Mailbox) -> None:
    small.olga.groups.add(Group.objects.get(name="reviewers"))
    small.olga.email = "olga@ward.example"
    small.olga.save()
    small.approval(small.robot)
    small.approval(small.rita)
    sending.sweep()
    assert recipients(post) == ["olga", "ravi", "ravi", "rita"]


def test_the_requester_or_the_owner_hears_of_the_decision(small: World, post: Mailbox) -> None:
    for person in (small.alice, small.olga):
        person.email = f"{person.username}@ward.example"
        person.save()
    own, program = small.approval(), small.approval(small.robot)
    sending.sweep()
    post.got.clear()
    decide(own, small.rita, Choice.DENY, "not this patient")
    decide(program, small.rita)
    for _ in range(2):
        sending.sweep()
    assert recipients(post) == ["alice", "olga"]
    told = {to.partition("@")[0]: text for to, text in post.got}
    assert f"https://postern.example/approvals/{own.pk}" in told["alice"]
    assert "not this patient" not in told["alice"]


def test_many_at_once_come_as_one(small: World, post: Mailbox) -> None:
    rows = [small.approval() for _ in range(8)]
    sending.sweep()
    assert recipients(post) == ["ravi", "rita"]
    for _, text in post.got:
        assert all(str(row.pk) in text for row in rows) and "Subject: 8 held requests" in text
    small.approval()
    sending.sweep()
    assert len(post.got) == 2  # within the minute
    Delivery.objects.update(tried_at=timezone.now() - timedelta(minutes=2))
    sending.sweep()
    assert len(post.got) == 4


def test_nobody_is_asked_about_what_is_decided_by_then(small: World, post: Mailbox) -> None:
    row = small.approval()
    post.refuse = "451 later"
    sending.sweep()
    assert post.got == []
    waiting = Delivery.objects.filter(state=DeliveryState.DUE)
    assert {each.error for each in waiting} == {"SMTPRecipientsRefused"}
    decide(row, small.rita)
    post.refuse = ""
    due_now()
    sending.sweep()
    assert post.got == []
    assert set(Delivery.objects.values_list("error", flat=True)) == {"decided meanwhile"}


def test_what_the_server_does_not_take_is_tried_again(small: World, post: Mailbox) -> None:
    small.approval()
    post.refuse = "451 later"
    sending.sweep()
    post.refuse = ""
    sending.sweep()
    assert post.got == []  # not before its time
    due_now()
    sending.sweep()
    assert recipients(post) == ["ravi", "rita"]


def test_without_a_server_there_are_no_mails(
    small: World, post: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "EMAIL_HOST", "")
    small.approval()
    sending.sweep()
    assert not Delivery.objects.exists()
    monkeypatch.setattr(settings, "EMAIL_HOST", "127.0.0.1")
    monkeypatch.setattr(settings, "PUBLIC_URL", "")
    ids = {message.id for message in run_checks(tags=["postern"], include_deployment_checks=True)}
    assert "gateway.W030" in ids


def test_people_switch_their_mails_off_and_on(small: World, post: Mailbox) -> None:
    rita = Client()
    rita.force_login(small.rita)
    assert b"rita@ward.example" in rita.get("/account/").content
    rita.post("/account/mails/", {"mails": "off"})
    small.approval()
    sending.sweep()
    assert recipients(post) == ["ravi"]
    assert b"You get none" in rita.get("/account/").content
    rita.post("/account/mails/", {"mails": "on"})
    assert not MailsOff.objects.exists()


def test_nothing_that_anybody_wrote_is_mailed_or_logged(
    small: World, post: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    small.alice.email = "alice@ward.example"
    small.alice.save()
    row = small.approval(purpose="kanari-purpose")
    services.approval_comment(approval_id=row.pk, by=small.alice, text="kanari-comment")
    post.refuse = "550 kanari-server"
    sending.sweep()
    post.refuse = ""
    due_now()
    sending.sweep()
    decide(row, small.rita, Choice.DENY, "kanari-reason")
    sending.sweep()
    assert len(post.got) == 3
    assert all("kanari" not in text for _, text in post.got)
    assert "kanari" not in caplog.text
    assert "kanari" not in repr(list(Delivery.objects.values_list("error", flat=True)))


def test_many_mails_to_one_person_keep_nobody_else_waiting(small: World, post: Mailbox) -> None:
    early, row = timezone.now() - timedelta(hours=1), small.approval()
    Delivery.objects.bulk_create(
        Delivery(person=small.rita, approval_id=uuid4(), event=ASKED, event_at=early, next_at=early)
        for _ in range(500)
    )
    sending.sweep()  # what rita is asked about is decided; the rest of it waits for the next minute
    sending.sweep()
    assert "ravi" in recipients(post), row
