"""`/approvals/<id>`: how a held request stands, for whoever asked and nobody else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from approvals.models import Choice, Status
from approvals.services import approval_comment
from gateway.identity import presented
from gateway.models import Identity, Issuer, Lock
from tests.approvals.people import World, decide
from tests.identity.minting import AUDIENCE, access_token
from tests.identity.provider import running_provider

pytestmark = pytest.mark.django_db
PAGE = {"HTTP_ACCEPT": "text/html,application/xhtml+xml"}


@pytest.fixture
def small() -> World:
    return World()


def bearer(key: str, header: str = "HTTP_AUTHORIZATION") -> dict[str, str]:
    return {header: f"Bearer {key}" if header == "HTTP_AUTHORIZATION" else key}


def browser(person: Any) -> Client:
    made = Client()
    made.force_login(person)
    return made


@pytest.mark.parametrize("header", ["HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_API_KEY"])
def test_the_requester_s_own_key_sees_how_it_stands(small: World, header: str) -> None:
    row = small.approval()
    key = small.key(small.alice, allowed_endpoints=["chat"])
    answer = Client().get(f"/approvals/{row.pk}", **bearer(key, header))
    assert answer.status_code == 200
    assert (answer["Cache-Control"], answer["Retry-After"]) == ("no-store", "30")
    body = answer.json()
    assert (body["id"], body["status"], body["decided_by"]) == (str(row.pk), "pending", None)
    decide(row, small.rita, Choice.DENY, "not this patient")
    answer = Client().get(f"/approvals/{row.pk}", **bearer(key, header))
    assert "Retry-After" not in answer
    body = answer.json()
    assert (body["status"], body["decided_by"], body["reason"]) == ("denied", "rita", "not this patient")


def test_what_has_run_out_says_so_before_any_sweep(small: World) -> None:
    now = timezone.now()
    row = small.approval(created_at=now - timedelta(hours=2), expires_at=now - timedelta(hours=1))
    body = Client().get(f"/approvals/{row.pk}", **bearer(small.key(small.alice))).json()
    assert body["status"] == "expired"


def refusals(small: World, row: Any) -> dict[str, dict[str, str]]:
    locked = small.key(small.alice)
    revoked = small.key(small.alice, revoked_at=timezone.now())
    elsewhere = small.key(small.alice, networks=["10.0.0.0/8"])
    return {
        "nobody": {},
        "another person": bearer(small.key(small.carol)),
        "a reviewer's key": bearer(small.key(small.rita)),
        "an unknown key": bearer("pst_" + "0" * 43),
        "no key at all": bearer("x"),
        "a made-up token": bearer("e30.e30.e30"),
        "basic": {"HTTP_AUTHORIZATION": "Basic eDp5"},
        "revoked": bearer(revoked),
        "from another network": bearer(elsewhere),
        "two": {**bearer(locked), "HTTP_X_API_KEY": small.key(small.robot)},
    }


def test_nobody_else_learns_that_there_is_such_an_approval(small: World) -> None:
    row = small.approval()
    for name, headers in refusals(small, row).items():
        answers = [Client().get(f"/approvals/{pk}", **headers) for pk in (row.pk, uuid4())]
        assert {answer.status_code for answer in answers} == {404}, name
        assert len({answer.content for answer in answers}) == 1, name
        headers_sent = [{k: v for k, v in answer.headers.items()} for answer in answers]
        assert headers_sent[0] == headers_sent[1], name


def test_a_locked_caller_sees_nothing(small: World) -> None:
    row, key = small.approval(), small.key(small.alice)
    assert Client().get(f"/approvals/{row.pk}", **bearer(key)).status_code == 200
    Lock.objects.create(user=small.alice, reason="left")
    assert Client().get(f"/approvals/{row.pk}", **bearer(key)).status_code == 404


def test_a_program_and_its_owner_both_see_it(small: World) -> None:
    row = small.approval(small.robot)
    assert Client().get(f"/approvals/{row.pk}", **bearer(small.key(small.robot))).status_code == 200
    assert Client().get(f"/approvals/{row.pk}", **bearer(small.key(small.olga))).status_code == 200
    page = browser(small.olga).get(f"/approvals/{row.pk}", **PAGE)
    assert page.status_code == 200 and b"Request of robot" in page.content
    small.robot.is_active = False
    small.robot.save()
    assert Client().get(f"/approvals/{row.pk}", **bearer(small.key(small.robot))).status_code == 404


def test_the_requester_has_a_page_to_comment_and_withdraw_on(small: World) -> None:
    row = small.approval()
    approval_comment(approval_id=row.pk, by=small.rita, text="which ward?")
    alice = browser(small.alice)
    page = alice.get(f"/approvals/{row.pk}", **PAGE)
    assert page.status_code == 200 and page["Cache-Control"] == "no-store"
    assert b"which ward?" in page.content and b"a discharge letter" in page.content
    alice.post(f"/approvals/{row.pk}/comment", {"text": "ward 3, ana@example.com"})
    assert b"ward 3, [EMAIL]" in alice.get(f"/approvals/{row.pk}", **PAGE).content
    left = alice.post(f"/approvals/{row.pk}/withdraw", follow=True, **PAGE)
    assert b"Withdrawn" in left.content
    row.refresh_from_db()
    assert row.status == Status.WITHDRAWN
    again = alice.post(f"/approvals/{row.pk}/withdraw", follow=True, **PAGE)
    assert b"Too late" in again.content


def test_a_form_without_its_token_does_nothing(small: World) -> None:
    row = small.approval()
    alice = Client(enforce_csrf_checks=True)
    alice.force_login(small.alice)
    for act in ("comment", "withdraw"):
        assert alice.post(f"/approvals/{row.pk}/{act}", {"text": "x"}).status_code == 403
        assert alice.get(f"/approvals/{row.pk}/{act}").status_code == 405
    row.refresh_from_db()
    assert row.status == Status.PENDING


def test_a_stranger_s_browser_finds_nothing_and_one_without_a_sign_in_is_asked_for_it(small: World) -> None:
    row = small.approval()
    carol = browser(small.carol)
    for pk in (row.pk, uuid4()):
        assert carol.get(f"/approvals/{pk}", **PAGE).status_code == 404
        assert carol.post(f"/approvals/{pk}/withdraw").status_code == 404
        assert Client().get(f"/approvals/{pk}", **PAGE)["Location"] == f"/login/?next=/approvals/{pk}"


def test_a_key_beside_a_session_is_refused(small: World) -> None:
    row = small.approval()
    assert (
        browser(small.alice).get(f"/approvals/{row.pk}", **bearer(small.key(small.alice))).status_code == 404
    )


def test_a_token_of_the_house_s_issuer_sees_it_as_a_key_does(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "PLAIN_HTTP", True)  # the issuer is on this machine
    row = small.approval()
    with running_provider() as provider:
        Issuer.objects.create(
            name="House",
            issuer=provider.issuer,
            allow_private=True,
            accepts_tokens=True,
            audiences=[AUDIENCE],
            algorithms=["RS256"],
        )
        Identity.objects.create(user=small.alice, issuer=provider.issuer, subject="a")
        Identity.objects.create(user=small.carol, issuer=provider.issuer, subject="c")
        presented._SOURCES.clear()

        def told(subject: str, key: str = "rsa1", **claims: Any) -> int:
            token = access_token(key, **{"iss": provider.issuer, "sub": subject, **claims})
            return int(Client().get(f"/approvals/{row.pk}", **bearer(token)).status_code)

        assert told("a") == 200
        assert told("c") == 404 and told("nobody") == 404
        assert told("a", aud="https://elsewhere.example") == 404
        assert told("a", exp=1) == 404
        assert told("a", iss="https://unknown.example") == 404
        forged = access_token("rsa1", iss=provider.issuer, sub="a")[:-8] + "AAAAAAAA"
        assert Client().get(f"/approvals/{row.pk}", **bearer(forged)).status_code == 404
        assert told("a", act={"sub": "c"}) == 200
        Lock.objects.create(user=small.carol, reason="left")
        assert told("a", act={"sub": "c"}) == 404
        Lock.objects.create(user=small.alice, reason="left")
        assert told("a") == 404
