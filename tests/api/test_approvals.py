"""Approvals by REST: read by reviewers, decided by people, commented on and withdrawn by whoever asked."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group

from approvals.digests import seen_digest
from approvals.models import Approval, Choice, Status
from approvals.services import approval_decide
from gateway.identity.authz import role_grant
from tests.api import world as api
from tests.approvals.people import World, decide

pytestmark = pytest.mark.django_db
APPROVALS = "/api/v1/approvals"


@pytest.fixture
def small() -> World:
    return World()


def signed_in(person: Any) -> Any:
    """With the token that a browser's script sends."""
    client = api.signed_in(person)
    client.get("/account/")
    client.credentials(HTTP_X_CSRFTOKEN=client.cookies[settings.CSRF_COOKIE_NAME].value)
    return client


def post(client: Any, row: Approval, act: str, **said: Any) -> Any:
    return client.post(f"{APPROVALS}/{row.pk}/{act}", said, format="json")


def vote(client: Any, row: Approval, choice: str = "approve", **said: Any) -> Any:
    given = {"choice": choice, "reason": "looked", "seen": seen_digest(row).hex(), **said}
    return post(client, row, "decide", **given)


def test_a_reviewer_lists_filters_and_pages(small: World) -> None:
    rows = [small.approval(), small.approval(small.robot), small.approval(endpoint="scribe")]
    small.approval(area="lab")
    rita = signed_in(small.rita)
    assert {each["id"] for each in rita.get(APPROVALS).json()["results"]} == {str(row.pk) for row in rows}

    def found(**asked: str) -> list[str]:
        return [each["id"] for each in rita.get(APPROVALS, asked).json()["results"]]

    assert found(endpoint="scribe") == [str(rows[2].pk)]
    assert found(requester="robot") == [str(rows[1].pk)]
    assert found(status="approved") == [] and len(found(status="pending", area="ward")) == 3
    assert found(area="lab") == []
    first = rita.get(APPROVALS, {"limit": "2"}).json()
    second = rita.get(first["next"]).json()
    assert len(first["results"]) == 2 and len(second["results"]) == 1 and second["next"] is None
    api.problem(rita.get(APPROVALS, {"status": "lost"}), 422, "refused")


def test_one_approval_says_everything_but_the_payload(small: World) -> None:
    row = small.approval(needed=2)
    decide(row, small.ravi)
    body = signed_in(small.rita).get(f"{APPROVALS}/{row.pk}").json()
    assert (body["purpose"], body["score"], body["counts"]) == (
        "a discharge letter",
        [[40, "SSN"]],
        {"SSN": 1},
    )
    assert [(each["by"], each["choice"], each["reason"]) for each in body["votes"]] == [
        ("ravi", "approve", "looked at it")
    ]
    assert body["links"] == {"status": f"/approvals/{row.pk}", "review": f"/review/{row.pk}/"}
    assert body["seen"] == seen_digest(row).hex()
    assert not {"request_hmac", "sent_digest", "barred", "key_id"} & set(body)


def test_a_reviewer_decides_what_they_were_shown(small: World) -> None:
    row = small.approval()
    rita = signed_in(small.rita)
    seen = rita.get(f"{APPROVALS}/{row.pk}").json()["seen"]
    answer = vote(rita, row, seen=seen, reason="write to ana@example.com")
    assert answer.status_code == 200 and answer.json()["status"] == "approved"
    assert answer.json()["votes"][0]["reason"] == "write to [EMAIL]"
    api.problem(vote(signed_in(small.ravi), row), 409, "too-late")


def test_what_has_changed_since_is_not_decided(small: World) -> None:
    row = small.approval()
    api.problem(vote(signed_in(small.rita), row, seen="0" * 64), 409, "too-late")
    api.problem(vote(signed_in(small.rita), row, seen="not a digest"), 422, "refused")
    row.refresh_from_db()
    assert row.status == Status.PENDING


def test_a_denial_needs_a_reason(small: World) -> None:
    row = small.approval()
    rita = signed_in(small.rita)
    api.problem(vote(rita, row, "deny", reason=" "), 422, "reason-missing")
    assert vote(rita, row, "deny", reason="not this patient").json()["status"] == "denied"


def test_who_may_not_decide_is_told_and_who_may_not_see_is_not(small: World) -> None:
    row = small.approval(small.robot)
    small.official("lars", "reviewer", area=small.lab, group="lab reviewers")
    api.problem(vote(signed_in(small.dave), row), 403, "not-yours")
    api.problem(vote(signed_in(small.carol), row), 403, "not-allowed")
    lars = Group.objects.get(name="lab reviewers").user_set.get()
    api.problem(vote(signed_in(lars), row), 404, "not-found")
    api.problem(signed_in(lars).get(f"{APPROVALS}/{row.pk}"), 404, "not-found")
    small.olga.groups.add(Group.objects.get(name="reviewers"))
    api.problem(vote(signed_in(small.olga), row), 403, "not-yours")  # she answers for it
    row.refresh_from_db()
    assert row.status == Status.PENDING


def test_no_program_decides_whatever_its_roles(small: World) -> None:
    row = small.approval()
    group = Group.objects.create(name="bots")
    for role in ("reviewer", "emergency"):
        role_grant(group=group, role=role, by=None)
    small.robot.groups.add(group)
    small.carol.groups.add(group)
    bot = api.client(small.key(small.robot, created_by=small.carol))
    assert bot.get(f"{APPROVALS}/{row.pk}").status_code == 200  # it may tell people about it
    for act in ("decide", "revoke", "look"):
        body = api.problem(
            post(bot, row, act, choice="approve", seen="0" * 64, reason="x"), 403, "not-allowed"
        )
        assert "program" in body["detail"]
    api.problem(vote(api.client(small.key(small.rita)), row), 403, "not-allowed")  # nor does a person's key
    row.refresh_from_db()
    assert row.status == Status.PENDING and not row.votes.exists()


def test_without_the_browser_s_token_nothing_is_decided(small: World) -> None:
    row = small.approval()
    api.problem(vote(api.signed_in(small.rita), row), 403, "not-allowed")


def test_a_decision_wants_a_fresh_sign_in_where_that_is_set(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, rita = small.approval(), signed_in(small.rita)
    monkeypatch.setattr(settings, "STEP_UP_SECONDS", 1)
    small.rita.sign_ins.update(authenticated_at="2020-01-01T00:00:00Z")
    refused = vote(rita, row)
    assert refused.status_code == 403 and "Sign in once more" in refused.json()["detail"]


def test_an_emergency_is_let_through_alone_and_looked_at_by_another(small: World) -> None:
    row = small.approval(needed=2)
    greta = signed_in(small.greta)
    api.problem(vote(greta, row), 403, "not-yours")
    api.problem(vote(greta, row, emergency=True, reason=""), 422, "reason-missing")
    assert vote(greta, row, emergency=True, reason="cardiac arrest").json()["emergency"] is True
    rita = signed_in(small.rita)
    assert post(rita, row, "look", note="was right").json()["looked_at"]
    api.problem(post(signed_in(small.ravi), row, "look"), 409, "too-late")


def test_what_nobody_used_is_taken_back_with_a_reason(small: World) -> None:
    row = small.approval()
    decide(row, small.rita)
    ravi = signed_in(small.ravi)
    api.problem(post(ravi, row, "revoke", reason=""), 422, "reason-missing")
    assert post(ravi, row, "revoke", reason="wrong patient").json()["status"] == "revoked"
    api.problem(post(ravi, row, "revoke", reason="again"), 409, "too-late")


def test_a_program_comments_on_and_withdraws_its_own_request(small: World) -> None:
    row, other = small.approval(small.robot), small.approval()
    bot = api.client(small.key(small.robot, allowed_models=["m"]))  # the key that its calls have
    said = post(bot, row, "comment", text="for ana@example.com")
    assert said.status_code == 201
    assert (said.json()["by"], said.json()["text"], said.json()["of_requester"]) == (
        "robot",
        "for [EMAIL]",
        True,
    )
    for act in ("comment", "withdraw"):
        api.problem(post(bot, other, act, text="x"), 404, "not-found")
    assert post(bot, row, "withdraw").status_code == 204
    api.problem(post(bot, row, "withdraw"), 409, "too-late")
    row.refresh_from_db()
    assert row.status == Status.WITHDRAWN


def test_the_owner_withdraws_and_a_reviewer_does_not(small: World) -> None:
    row = small.approval(small.robot)
    api.problem(post(signed_in(small.rita), row, "withdraw"), 403, "not-yours")
    api.problem(post(signed_in(small.carol), row, "withdraw"), 404, "not-found")
    assert post(signed_in(small.olga), row, "withdraw").status_code == 204


def test_a_reviewer_asks_back_and_a_stranger_says_nothing(small: World) -> None:
    row = small.approval()
    assert post(signed_in(small.rita), row, "comment", text="which ward?").json()["of_requester"] is False
    api.problem(post(signed_in(small.carol), row, "comment", text="hello"), 404, "not-found")
    api.problem(post(api.client(small.key(small.rita)), row, "comment", text="hello"), 404, "not-found")
    api.problem(post(api.client(), row, "comment", text="hello"), 401, "not-authenticated")
    api.problem(post(api.client("pst_" + "0" * 43), row, "comment", text="x"), 401, "not-authenticated")


def test_an_unused_emergency_may_be_taken_back_by_who_let_it_through(small: World) -> None:
    row = small.approval()
    approval_decide(
        approval_id=row.pk,
        by=small.greta,
        choice=Choice.APPROVE,
        reason="cardiac arrest",
        seen=seen_digest(row),
        emergency=True,
    )
    assert post(signed_in(small.greta), row, "revoke", reason="alarm was false").json()["status"] == "revoked"
