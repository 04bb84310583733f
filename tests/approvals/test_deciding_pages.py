"""One held call on its page: approve, deny, take back, break the glass, comment, and every way to fail."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from approvals.digests import seen_digest
from approvals.models import Approval, Comment, Status, Vote
from gateway.models import SignIn

from .ward import Ward, browser, events, status, url, vote

pytestmark = pytest.mark.django_db


def said(answer: Any) -> str:
    return str(answer.content.decode())


def test_rita_approves_with_one_click_and_is_told_what_it_did(ward: Ward) -> None:
    waits = ward.asks()
    page = said(vote(ward.rita, waits))
    assert "Approved: the call of alice may go on, once." in page
    assert (status(waits), events()[-2:]) == ("approved", ["approval.voted", "approval.approved"])


def test_a_denial_needs_a_reason_and_keeps_what_was_typed(ward: Ward) -> None:
    waits = ward.asks()
    answer = vote(ward.rita, waits, "deny", reason="  ")
    assert answer.status_code == 400
    assert "need a reason" in said(answer)
    assert status(waits) == "pending"
    assert "Denied: the call of alice is refused." in said(vote(ward.rita, waits, "deny", reason="no need"))
    assert (status(waits), Vote.objects.get().reason) == ("denied", "no need")


def test_restricted_data_needs_a_reason_to_be_approved(ward: Ward) -> None:
    waits = ward.asks(highest="restricted")
    assert vote(ward.rita, waits).status_code == 400
    vote(ward.rita, waits, reason="for the ward round")
    assert status(waits) == "approved"


def test_what_was_typed_comes_back_with_the_complaint(ward: Ward) -> None:
    waits = ward.asks()
    answer = vote(ward.rita, waits, "neither", reason="<b>well</b>")
    assert answer.status_code == 400
    assert "&lt;b&gt;well&lt;/b&gt;</textarea>" in said(answer)


def test_two_people_approve_what_needs_two(ward: Ward) -> None:
    waits = ward.asks(needed=2)
    assert "waits for one more person" in said(vote(ward.rita, waits))
    page = said(browser(ward.rita).get(url("approval", waits)))
    assert "You have voted on this request." in page and "1 of 2 votes" in page
    assert "data-decide" not in page
    assert "voted on this request already" in said(vote(ward.rita, waits))
    vote(ward.ravi, waits)
    assert status(waits) == "approved"


OWN = "This is your own request. Somebody else decides about it."


def test_nobody_decides_about_their_own_request(ward: Ward) -> None:
    own = ward.asks(ward.bob)
    page = said(browser(ward.bob).get(url("approval", own)))
    assert OWN in page and "data-decide" not in page
    assert OWN in said(vote(ward.bob, own))
    assert status(own) == "pending"


def test_who_answers_for_the_program_or_acts_for_it_does_not_decide(ward: Ward) -> None:
    program = ward.asks(ward.carol, requester_kind="service", owner_id=ward.rita.pk)
    acted = ward.asks(barred=[str(ward.rita.pk)])
    for waits, words in ((program, "You answer for the program"), (acted, "You act for whoever asks")):
        assert words in said(browser(ward.rita).get(url("approval", waits)))
        assert words in said(vote(ward.rita, waits))
        assert status(waits) == "pending"


def test_another_group_is_named_and_decides(ward: Ward) -> None:
    waits = ward.asks(reviewers=["others"])
    assert "The policy leaves this to others." in said(browser(ward.rita).get(url("approval", waits)))
    assert "The policy leaves this to others." in said(vote(ward.rita, waits))
    assert status(waits) == "pending"


def test_who_audits_looks_and_does_not_decide(ward: Ward) -> None:
    waits = ward.asks()
    page = said(browser(ward.dave).get(url("approval", waits)))
    assert "You do not review in this area." in page
    assert "data-decide" not in page and "data-glass" not in page
    for name in ("decide", "revoke", "look_at"):
        assert browser(ward.dave).post(url(name, waits), {"reason": "x"}).status_code == 403
    assert status(waits) == "pending"


def test_there_is_nothing_behind_the_wall(ward: Ward) -> None:
    waits = ward.asks()
    for name in ("approval", "standing"):
        assert browser(ward.stan).get(url(name, waits)).status_code == 404
    for name in ("decide", "revoke", "comment", "look_at"):
        assert browser(ward.stan).post(url(name, waits)).status_code == 404
    assert browser(ward.carol).get(url("approval", waits)).status_code == 403
    assert browser(ward.rita).get(url("approval", ward.asks(epoch=77))).status_code == 404


def test_what_changed_since_it_was_opened_is_looked_at_again(ward: Ward) -> None:
    waits = ward.asks()
    page = browser(ward.rita)
    body = {"choice": "approve", "seen": seen_digest(waits).hex()}
    Approval.objects.filter(pk=waits.pk).update(purpose="another one")
    assert "has changed since you opened it" in said(page.post(url("decide", waits), body, follow=True))
    for seen in ("", "zz", "00" * 32):
        answer = page.post(url("decide", waits), {**body, "seen": seen}, follow=True)
        assert "has changed since you opened it" in said(answer)
    assert status(waits) == "pending"


@pytest.mark.parametrize("state", ["denied", "withdrawn", "expired", "run out"])
def test_too_late_is_said_in_words(ward: Ward, state: str) -> None:
    waits, now = ward.asks(), timezone.now()
    changes: dict[str, Any] = {"status": state}
    if state == "denied":
        changes |= {"decided_at": now, "decided_by": ward.ravi.pk}
    if state == "run out":
        changes = {"expires_at": waits.created_at + timedelta(microseconds=1)}
    Approval.objects.filter(pk=waits.pk).update(**changes)
    answer = vote(ward.rita, waits)
    assert answer.status_code == 200
    assert "Too late: it" in said(answer)
    assert "data-decide" not in said(answer)
    assert not Vote.objects.exists()


def test_a_get_changes_nothing_and_a_post_needs_its_token(ward: Ward) -> None:
    waits = ward.asks()
    strict = browser(ward.rita, enforce_csrf_checks=True)
    for name in ("decide", "revoke", "comment", "look_at"):
        assert strict.get(url(name, waits)).status_code == 405
        assert strict.post(url(name, waits), {"choice": "approve", "reason": "x"}).status_code == 403
    assert status(waits) == "pending"


def test_an_unused_approval_is_taken_back(ward: Ward) -> None:
    waits = ward.asks()
    vote(ward.rita, waits)
    page = browser(ward.ravi)
    assert "Take the approval back" in said(page.get(url("approval", waits)))
    assert page.post(url("revoke", waits), {"reason": ""}).status_code == 400
    assert "Taken back" in said(page.post(url("revoke", waits), {"reason": "wrong patient"}, follow=True))
    assert (status(waits), events()[-1]) == ("revoked", "approval.revoked")
    assert "Too late" in said(page.post(url("revoke", waits), {"reason": "again"}, follow=True))


def emergency(ward: Ward, waits: Approval, **more: Any) -> Any:
    return vote(ward.erin, waits, emergency="1", **{"reason": "cardiac arrest", "sure": "1", **more})


def test_the_glass_is_broken_aloud_and_somebody_else_looks_at_it(ward: Ward) -> None:
    waits = ward.asks(needed=2, reviewers=["others"])
    page = said(browser(ward.erin).get(url("approval", waits)))
    assert "Emergency: decide alone" in page and "data-decide" not in page
    assert "data-glass" not in said(browser(ward.rita).get(url("approval", waits)))
    assert emergency(ward, waits, sure="").status_code == 400
    assert emergency(ward, waits, reason="").status_code == 400
    assert status(waits) == "pending"
    emergency(ward, waits)
    assert status(waits) == "approved"
    Approval.objects.filter(pk=waits.pk).update(reviewers=["reviewers"])
    queue = said(browser(ward.rita).get(url("queue")))
    assert "Emergencies to look at" in queue and "let through" in queue
    assert "1 emergency has to be looked at." in said(browser(ward.rita).get("/"))
    assert browser(ward.erin).post(url("look_at", waits)).status_code == 403
    answer = browser(ward.rita).post(url("look_at", waits), {"reason": "it was right"}, follow=True)
    assert "somebody else has looked" in said(answer)
    assert "Emergencies to look at" not in said(browser(ward.rita).get(url("queue")))
    again = browser(ward.ravi).post(url("look_at", waits), {"reason": ""}, follow=True)
    assert "nothing to look at any more" in said(again)


def test_an_emergency_is_of_whoever_may_and_never_ones_own(ward: Ward) -> None:
    waits, own = ward.asks(), ward.asks(ward.erin)
    answer = vote(ward.rita, waits, emergency="1", sure="1", reason="hurry")
    assert "You do not review in this area." in said(answer)
    assert OWN in said(emergency(ward, own))
    assert (status(waits), status(own)) == ("pending", "pending")


def test_comments_are_scrubbed_and_inert(ward: Ward) -> None:
    waits = ward.asks()
    page = browser(ward.rita)
    words = "<script>x</script> \u202ewhy? mail ana@example.com"
    answer = said(page.post(url("comment", waits), {"reason": words}, follow=True))
    assert "<script>x" not in answer and "U+202E" in answer
    assert "ana@example.com" not in Comment.objects.get().text
    assert page.post(url("comment", waits), {"reason": " "}).status_code == 400
    assert browser(ward.dave).post(url("comment", waits), {"reason": "well"}).status_code == 302


def test_opening_is_on_record_and_following_is_not(ward: Ward) -> None:
    waits = ward.asks()
    browser(ward.rita).get(url("approval", waits))
    assert events() == ["approval.opened"]
    browser(ward.rita).get(url("standing", waits))
    browser(ward.rita).get(url("queue"))
    assert events() == ["approval.opened"]


def test_the_page_says_what_became_of_earlier_requests(ward: Ward) -> None:
    waits, now = ward.asks(), timezone.now()
    decided = {"decided_at": now, "decided_by": ward.rita.pk}
    ward.asks(status=Status.DENIED, **decided)
    ward.asks(status=Status.REVOKED, **decided)
    ward.asks(status=Status.EXPIRED, **decided)
    ward.asks(status=Status.EXPIRED)
    long_ago = now - timedelta(days=31)
    ward.asks(status=Status.EXPIRED, created_at=long_ago, expires_at=long_ago + timedelta(hours=1))
    ward.asks(area="other")  # behind a wall, so that rita gets to know nothing of it
    history = browser(ward.rita).get(url("approval", waits)).context["history"]
    assert (history.approved, history.denied, history.expired, history.waiting) == (2, 1, 1, 0)


def test_policies_that_are_always_approved_are_told_to_mask(ward: Ward) -> None:
    now = timezone.now()
    for at in range(20):
        for policy, wrong in (("Often", at == 0), ("Sometimes", at < 2), ("Seldom", True)):
            ward.asks(
                policy=f"{policy}@{at % 2}",
                status=Status.DENIED if wrong else Status.CONSUMED,
                decided_at=now + timedelta(minutes=at),
                decided_by=ward.rita.pk,
                **({} if wrong else {"consumed_at": now, "consumed_call_id": ward.alice.pk}),
            )
    answer = browser(ward.dave).get(url("policies"))
    rows = {row.policy: row for row in answer.context["rates"].rows}
    assert {name: row.mask_instead for name, row in rows.items()} == {
        "Often": True,
        "Sometimes": False,
        "Seldom": False,
    }
    assert (rows["Often"].percent, rows["Seldom"].decided) == (95, 20)
    assert 9 * 60 <= rows["Often"].took.total_seconds() <= 11 * 60
    assert "Mask instead" in said(answer)
    assert "Nothing was decided in 30 days" in said(browser(ward.stan).get(url("policies")))


def test_a_decision_wants_a_fresh_sign_in_where_the_settings_say_so(ward: Ward, settings: Any) -> None:
    settings.STEP_UP_SECONDS = 60
    waits = ward.asks()
    client: Client = browser(ward.rita)
    SignIn.objects.update(authenticated_at=timezone.now() - timedelta(hours=1))
    body = {"choice": "approve", "seen": seen_digest(waits).hex()}
    for name in ("decide", "revoke", "look_at"):
        assert client.post(url(name, waits), body)["Location"].startswith("/step-up/")
    assert status(waits) == "pending"
