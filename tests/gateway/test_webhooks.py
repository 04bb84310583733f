"""Webhooks: who is told what, once; signed, in order, again after failures, and never what was said."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection, connections
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from approvals import services, sweeps, webhooks
from approvals.broker import Broker
from approvals.models import Approval, Choice
from audit import ids
from audit.models import Entry, Store
from gateway.models import Delivery, DeliveryState, Told, Webhook, WebhookKind
from gateway.notifying import keeping, outbox, sending
from gateway.notifying.services import (
    WebhookRefused,
    address_of,
    delivery_again,
    url_of,
    webhook_add,
    webhook_change,
    webhook_clear,
    webhook_rotate,
)
from gateway.tasks import forget_deliveries
from policies.journal import who
from tests.approvals.people import World, decide
from tests.gateway.receiver import Receiver, receiver, verified

pytestmark = pytest.mark.django_db(transaction=True)
DONE, DUE, FAILED = DeliveryState.DONE, DeliveryState.DUE, DeliveryState.FAILED


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(settings, "PLAIN_HTTP", True)
    monkeypatch.setattr(settings, "PUBLIC_URL", "https://postern.example")
    return World()


@pytest.fixture
def there() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def hook(small: World, url: str, **fields: Any) -> tuple[Webhook, str]:
    made = Webhook(**{"area": small.ward, "name": "channel", "allow_private": True, **fields})
    secret = webhook_add(webhook=made, url=url, by=small.ann)
    return made, secret.reveal() if secret else ""


def sweep() -> None:
    sending.sweep()


def due_now() -> None:
    """As if the wait were over."""
    Delivery.objects.filter(state=DUE).update(next_at=timezone.now())


# --- pure -------------------------------------------------------------------------------------------


def test_signatures_are_those_of_the_standard_s_own_example() -> None:
    made = webhooks.signatures(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_name_in_slack_calls_no_channel() -> None:
    row = Approval(requester_name="<!channel> & co", endpoint="chat", area="ward", risk=1)
    text = webhooks.slack_body(webhooks.OPENED, row, "https://x").decode()
    assert "<!channel>" not in text and "&lt;!channel&gt; &amp; co" in text


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x.example/",
        "https://user:pw@x.example/",
        "https://x.example/a b",
        "https://x.example/#top",
        "https://x.example/ä",
        "http://x.example/",
        "//x.example",
        "",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(WebhookRefused):
        address_of(url, allow_private=False)


# --- told once, signed, in order --------------------------------------------------------------------


def test_an_opening_and_a_decision_are_told_and_their_signatures_verify(
    small: World, there: Receiver
) -> None:
    _, secret = hook(small, there.url)
    row = small.approval()
    sweep()
    decide(row, small.rita)
    sweep()
    assert there.types == ["approval.opened", "approval.approved"]
    for headers, body in there.got:
        assert verified(secret, headers, body)
        assert not verified(secret, headers, body + b" ")
    data = there.messages[0]["data"]
    assert (data["approval_id"], data["requester"], data["area"]) == (str(row.pk), "alice", "ward")
    assert (data["counts"], data["level"], data["risk"]) == ({"SSN": 1}, "confidential", 40)
    assert data["review_url"] == f"https://postern.example/review/{row.pk}/"
    assert len({headers["webhook-id"] for headers, _ in there.got}) == 2
    assert set(Delivery.objects.values_list("state", "status", "attempts")) == {(DONE, 200, 1)}


def test_however_often_the_sweep_comes_each_event_is_told_once(small: World, there: Receiver) -> None:
    hook(small, there.url)
    row = small.approval()
    decide(row, small.rita, Choice.DENY)
    for _ in range(4):
        sweep()
    assert there.types == ["approval.opened", "approval.denied"]
    assert outbox.fill() == 0


def test_a_sweep_that_was_dead_for_days_finds_everything(small: World, there: Receiver) -> None:
    made, _ = hook(small, there.url)
    now = timezone.now()
    Webhook.objects.filter(pk=made.pk).update(tells_from=now - timedelta(days=9))
    Told.objects.update(upto=now - timedelta(days=8))
    old = now - timedelta(days=7)
    row = small.approval(created_at=old, changed_at=old, expires_at=old + timedelta(hours=1))
    sweeps.approvals_expire()
    Approval.objects.filter(pk=row.pk).update(changed_at=old + timedelta(hours=1))
    sweep()
    assert there.types == ["approval.opened", "approval.expired"]


def test_what_was_before_the_webhook_is_not_told(small: World, there: Receiver) -> None:
    row = small.approval()
    hook(small, there.url)
    decide(row, small.rita)
    sweep()
    assert there.types == ["approval.approved"]


def test_every_kind_of_event_is_told(small: World, there: Receiver) -> None:
    hook(small, there.url)
    now = timezone.now()
    soon = timedelta(seconds=-1)
    escalated = small.approval(escalate_to=["seniors"], escalate_at=now + soon)
    sweeps.approvals_escalate()
    withdrawn, revoked, glass = small.approval(), small.approval(), small.approval()
    services.approval_withdraw(approval_id=withdrawn.pk, by=who(small.alice), requester_ids=[small.alice.pk])
    decide(revoked, small.rita)
    services.approval_revoke(approval_id=revoked.pk, by=small.ravi, reason="wrong")
    services.approval_decide(
        approval_id=glass.pk,
        by=small.greta,
        choice=Choice.APPROVE,
        reason="arrest",
        seen=webhooks_seen(glass),
        emergency=True,
    )
    for _ in range(6):
        sweep()
    told: dict[str, list[str]] = {}
    for message in there.messages:
        told.setdefault(message["data"]["approval_id"], []).append(message["type"].partition(".")[2])
    assert told == {
        str(escalated.pk): ["opened", "escalated"],
        str(withdrawn.pk): ["opened", "withdrawn"],
        str(revoked.pk): ["opened", "approved", "revoked"],
        str(glass.pk): ["opened", "approved", "emergency"],
    }


def test_what_is_void_is_told_and_noted(small: World, there: Receiver) -> None:
    """The same call was asked anew under another policy: as the data path says it."""
    hook(small, there.url)
    waits, unused = small.approval(), small.approval()
    decide(unused, small.rita)
    sweep()
    sweep()
    broker = Broker()
    try:
        for row in (waits, unused):
            asyncio.run(broker.supersede(row.pk, "the request is judged otherwise now"))
    finally:
        broker.stop()
    sweep()
    sweep()
    assert there.types[3:] == ["approval.superseded"] * 2
    assert {each["data"]["approval_id"] for each in there.messages[3:]} == {str(waits.pk), str(unused.pk)}
    noted = [bytes(meta) for meta in Entry.objects.values_list("meta", flat=True)]
    assert sum(b"approval.superseded" in meta and b"judged otherwise" in meta for meta in noted) == 2


def test_of_what_a_restored_backup_brought_back_only_the_end_is_told(small: World, there: Receiver) -> None:
    hook(small, there.url)
    Store.objects.get_or_create(pk=1, defaults={"created_at": timezone.now()})
    row = small.approval()
    decide(row, small.rita)
    Store.objects.update(epoch=F("epoch") + 1)
    sweep()
    assert there.types == []
    sweeps.approvals_expire()
    sweep()
    assert there.types == ["approval.superseded"]
    assert there.messages[0]["data"]["approval_id"] == str(row.pk)


def webhooks_seen(row: Approval) -> bytes:
    from approvals.digests import seen_digest

    return seen_digest(row)


def test_a_webhook_hears_of_its_area_and_of_the_events_that_it_wants(small: World, there: Receiver) -> None:
    hook(small, there.url, name="denials", events=["approval.denied"])
    with receiver() as elsewhere, receiver() as anywhere:
        hook(small, elsewhere.url, area=small.lab)
        hook(small, anywhere.url, area=None)
        row = small.approval()
        decide(row, small.rita, Choice.DENY)
        sweep()
        sweep()
        assert there.types == ["approval.denied"]
        assert elsewhere.types == []
        assert anywhere.types == ["approval.opened", "approval.denied"]


def test_two_sweeps_at_once_tell_each_event_once(small: World, there: Receiver) -> None:
    hook(small, there.url)
    rows = [small.approval() for _ in range(6)]
    for row in rows:
        decide(row, small.rita)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            outbox.fill()
            for _ in range(6):
                sending.send_due()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    sending.send_due()
    told = [(message["data"]["approval_id"], message["type"]) for message in there.messages]
    assert len(told) == len(set(told)) == 12
    for row in rows:
        own = [kind for pk, kind in told if pk == str(row.pk)]
        assert own == ["approval.opened", "approval.approved"]


# --- forgotten --------------------------------------------------------------------------------------


def aged(small: World, hook: Webhook, days: float, **fields: Any) -> Delivery:
    """A message as it was written so long ago; ids say when."""
    then = timezone.now() - timedelta(days=days)
    values = {"state": DONE, "event": "approval.opened", "event_at": then, "queued_at": then}
    pk = ids.uuid7(ids.microseconds(then) // 1000, Delivery.objects.count())
    return Delivery.objects.create(**{"pk": pk, "webhook": hook, "approval_id": uuid4(), **values, **fields})


def test_what_became_of_a_message_is_forgotten_after_a_month_the_oldest_first(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = hook(small, "https://there.example/")
    now = timezone.now()
    days = (31, 40, 33, 32, 50)
    old = [aged(small, made, each, state=FAILED if each == 33 else DONE) for each in days]
    kept = [
        aged(small, made, 29.9),
        aged(small, made, 60, state=DUE, next_at=now),
        aged(small, made, 60, queued_at=now),  # sent again by hand
    ]
    monkeypatch.setattr(keeping, "BATCH", 2)
    monkeypatch.setattr(keeping, "BATCHES", 2)
    assert keeping.deliveries_prune() == 4
    left = set(Delivery.objects.values_list("pk", flat=True))
    assert left == {old[0].pk, *(each.pk for each in kept)}
    assert [keeping.deliveries_prune() for _ in range(2)] == [1, 0]
    assert set(Delivery.objects.all()) == set(kept)


def test_what_is_forgotten_is_not_told_again(small: World, there: Receiver) -> None:
    made, _ = hook(small, there.url)
    old = timezone.now() - timedelta(days=31)
    Webhook.objects.update(tells_from=old - timedelta(days=1))
    row = small.approval(created_at=old, expires_at=old + timedelta(days=1))
    aged(small, made, 31, approval_id=row.pk)
    services.approval_comment(approval_id=row.pk, by=small.alice, text="what became of it?")
    forget_deliveries()
    sweep()
    assert not Delivery.objects.exists() and there.got == []


# --- failures ---------------------------------------------------------------------------------------


def test_a_receiver_that_fails_gets_the_same_message_again_and_the_next_ones_wait(
    small: World, there: Receiver
) -> None:
    hook(small, there.url)
    there.answers = [500, 503, 200]
    row = small.approval()
    decide(row, small.rita)
    sweep()
    (first, second) = Delivery.objects.order_by("position")
    assert (first.state, first.status, first.error, first.attempts) == (DUE, 500, "status", 1)
    assert second.attempts == 0
    assert first.next_at is not None and first.tried_at is not None
    assert timedelta(seconds=4) < first.next_at - first.tried_at < timedelta(seconds=6)
    assert Webhook.objects.get().failing_since is not None
    for _ in range(3):
        due_now()
        sweep()
    assert there.types == ["approval.opened"] * 3 + ["approval.approved"]
    assert len({body for _, body in there.got[:3]}) == 1
    assert len({headers["webhook-id"] for headers, _ in there.got[:3]}) == 1
    assert Webhook.objects.get().failing_since is None


def test_a_receiver_that_does_not_answer_is_given_up_after_seconds_and_tried_again(
    small: World, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SECONDS", 0.3)
    hook(small, there.url)
    there.answers = ["slow", 200]
    small.approval()
    sweep()
    row = Delivery.objects.get()
    assert (row.state, row.status, row.error) == (DUE, None, "timeout")
    due_now()
    sweep()
    assert Delivery.objects.get().state == DONE


def test_no_redirect_is_followed(small: World, there: Receiver) -> None:
    hook(small, there.url)
    there.answers = [302, 200]
    small.approval()
    sweep()
    assert len(there.got) == 1 and Delivery.objects.get().error == "redirect"


def test_no_private_address_is_connected_to_unless_the_webhook_says_so(
    small: World, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = hook(small, there.url)
    Webhook.objects.filter(pk=made.pk).update(allow_private=False)
    small.approval()
    sweep()
    assert there.got == [] and Delivery.objects.get().error == "address"
    Webhook.objects.filter(pk=made.pk).update(allow_private=True)
    monkeypatch.setattr(settings, "PLAIN_HTTP", False)  # this machine itself is none, in earnest
    due_now()
    sweep()
    assert there.got == []


def test_the_waits_grow_and_after_a_day_it_is_given_up(small: World, there: Receiver) -> None:
    hook(small, there.url)
    there.answers = [500]
    small.approval()
    waits = []
    for _ in range(7):
        due_now()
        sweep()
        row = Delivery.objects.get()
        assert row.next_at is not None and row.tried_at is not None
        waits.append(round((row.next_at - row.tried_at).total_seconds()))
    assert waits == [5, 30, 120, 600, 3600, 21600, 21600]
    Delivery.objects.update(queued_at=timezone.now() - timedelta(hours=25), next_at=timezone.now())
    sweep()
    assert Delivery.objects.get().state == FAILED and len(there.got) == 7


def test_a_webhook_that_failed_for_three_days_is_switched_off_with_an_event(
    small: World, there: Receiver
) -> None:
    made, _ = hook(small, there.url)
    there.answers = [500]
    small.approval()
    sweep()
    Webhook.objects.update(failing_since=timezone.now() - timedelta(days=3))
    due_now()
    sweep()
    made.refresh_from_db()
    assert (made.enabled, made.disabled_because) == (False, "it failed for three days")
    assert any(b"webhook.disabled" in bytes(meta) for meta in Entry.objects.values_list("meta", flat=True))
    there.answers = [200]
    due_now()
    sweep()
    assert len(there.got) == 2 and Delivery.objects.get().state == FAILED
    webhook_clear(webhook=made, by=small.ann)
    small.approval()
    sweep()
    assert there.types[2:] == ["approval.opened"]


def test_a_receiver_that_says_it_is_gone_is_believed(small: World, there: Receiver) -> None:
    made, _ = hook(small, there.url)
    there.answers = [410]
    small.approval()
    sweep()
    made.refresh_from_db()
    assert not made.enabled and "410" in made.disabled_because


def test_what_a_dead_sweep_had_taken_comes_back(small: World, there: Receiver) -> None:
    hook(small, there.url)
    small.approval()
    outbox.fill()
    row = Delivery.objects.select_related("webhook").get()
    assert sending.take(row)  # and dies
    sweep()
    assert there.got == []
    due_now()  # the lease is over
    sweep()
    assert there.types == ["approval.opened"]
    sending.settle(row, sending.Outcome(False, "timeout"))  # it was not dead after all
    assert Delivery.objects.get().state == DONE


def test_one_receiver_that_hangs_does_not_keep_the_others_waiting(
    small: World, there: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "SECONDS", 0.3)
    with receiver() as dead:
        dead.answers = ["slow"]
        broken, _ = hook(small, dead.url, name="dead")
        Webhook.objects.filter(pk=broken.pk).update(failing_since=timezone.now())
        hook(small, there.url)
        for _ in range(9):
            small.approval()
        sweep()
        assert len(there.got) == 9


# --- secrets ----------------------------------------------------------------------------------------


def test_while_a_secret_is_replaced_both_verify(small: World, there: Receiver) -> None:
    made, old = hook(small, there.url)
    new = webhook_rotate(webhook=made, by=small.ann).reveal()
    small.approval()
    sweep()
    headers, body = there.got[0]
    assert verified(old, headers, body) and verified(new, headers, body)
    made.secrets.filter(ends_at__isnull=False).update(ends_at=timezone.now())
    small.approval()
    sweep()
    headers, body = there.got[1]
    assert verified(new, headers, body) and not verified(old, headers, body)


def test_neither_secret_nor_path_lies_in_the_database_in_clear(small: World, there: Receiver) -> None:
    made, secret = hook(small, there.url)
    with connection.cursor() as cursor:
        for table in ("webhook", "webhooksecret", "historicalwebhook", "delivery"):
            cursor.execute(f"SELECT * FROM gateway_{table}")
            stored = repr([[bytes(c) if isinstance(c, memoryview) else c for c in r] for r in cursor])
            assert "T0-sealed" not in stored and secret[6:] not in stored
    assert "T0-sealed" in url_of(made).reveal()
    Webhook.objects.filter(pk=made.pk).update(origin="http://127.0.0.1:1")  # behind the services' back
    small.approval()
    sweep()
    assert Delivery.objects.get().error == "sealed with another key" and there.got == []


def test_slack_gets_text_and_blocks_and_no_signature(small: World, there: Receiver) -> None:
    _, secret = hook(small, there.url, kind=WebhookKind.SLACK)
    assert secret == ""
    row = small.approval()
    sweep()
    headers, body = there.got[0]
    assert "webhook-signature" not in headers
    said = json.loads(body)
    assert said["text"] == "Request of alice to chat (ward) waits for a decision."
    assert f"https://postern.example/review/{row.pk}/" in said["blocks"][1]["text"]["text"]


CANARIES = ("kanari-purpose", "kanari-comment", "kanari-reason")


def test_nothing_that_anybody_wrote_is_told(
    small: World, there: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    hook(small, there.url)
    hook(small, there.url, name="slack", kind=WebhookKind.SLACK)
    there.answers = [500, 500, 200]
    row = small.approval(purpose=CANARIES[0])
    services.approval_comment(approval_id=row.pk, by=small.alice, text=CANARIES[1])
    decide(row, small.rita, Choice.DENY, CANARIES[2])
    for _ in range(4):
        due_now()
        sweep()
    assert len(there.got) >= 4
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM gateway_delivery")
        stored = repr(list(cursor))
    for canary in CANARIES:
        assert all(canary.encode() not in body for _, body in there.got)
        assert canary not in caplog.text and canary not in stored
    assert "T0-sealed" not in caplog.text


# --- the admin --------------------------------------------------------------------------------------


def browser(person: Any) -> Client:
    made = Client()
    made.force_login(person)
    return made


def test_an_administrator_adds_one_sees_its_secret_once_and_tries_it(small: World, there: Receiver) -> None:
    ann = browser(small.ann)
    said = {"area": str(small.ward.pk), "name": "channel", "kind": "standard", "url": there.url}
    made = ann.post(reverse("admin:gateway_webhook_add"), {**said, "allow_private": "on", "enabled": "on"})
    assert b"whsec_" in made.content and "no-store" in made["Cache-Control"]
    row = Webhook.objects.get()
    page = reverse("admin:gateway_webhook_change", args=[row.pk])
    shown = ann.get(page).content
    assert b"whsec_" not in shown and b"T0-sealed" not in shown
    tried = ann.post(reverse("admin:gateway_webhook_attempt", args=[row.pk]), follow=True)
    assert b"It arrived" in tried.content and there.types == ["webhook.test"]
    there.answers = [500]
    tried = ann.post(reverse("admin:gateway_webhook_attempt", args=[row.pk]), follow=True)
    assert b"answered 500" in tried.content
    replaced = ann.post(reverse("admin:gateway_webhook_rotate", args=[row.pk]))
    assert b"whsec_" in replaced.content


def test_a_delivery_is_sent_again_under_the_same_id(small: World, there: Receiver) -> None:
    hook(small, there.url)
    small.approval()
    sweep()
    row = Delivery.objects.get()
    ann = browser(small.ann)
    assert b"approval.opened" in ann.get(reverse("admin:gateway_delivery_changelist")).content
    ann.post(reverse("admin:gateway_delivery_again", args=[row.pk]))
    sweep()
    assert len(there.got) == 2
    assert there.got[0][0]["webhook-id"] == there.got[1][0]["webhook-id"]
    row.refresh_from_db()
    assert delivery_again(delivery=row, by=None) and not delivery_again(delivery=row, by=None)


def test_a_form_refuses_what_is_no_address_and_a_wall_keeps_others_out(small: World) -> None:
    said = {"area": str(small.ward.pk), "name": "channel", "kind": "standard", "url": "http://x.example/"}
    answer = browser(small.ann).post(reverse("admin:gateway_webhook_add"), said)
    assert b"Use https://" in answer.content and not Webhook.objects.exists()
    there = {**said, "url": "https://x.example/", "area": ""}
    assert browser(small.ann).post(reverse("admin:gateway_webhook_add"), there).status_code == 403
    assert browser(small.rita).get(reverse("admin:gateway_webhook_changelist")).status_code == 403


def test_switching_it_on_again_tells_what_happens_from_now_on(small: World, there: Receiver) -> None:
    made, _ = hook(small, there.url)
    made.enabled = False
    webhook_change(webhook=made, by=small.ann)
    small.approval()
    sweep()
    made.enabled = True
    webhook_change(webhook=made, by=small.ann)
    row = small.approval()
    sweep()
    assert [message["data"]["approval_id"] for message in there.messages] == [str(row.pk)]
