"""The queue: whose approvals it shows, in which order, page by page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals import queue, walls
from approvals.models import Approval, Choice, Vote
from approvals.queue import Filters
from gateway.identity.linking import accounts_link
from gateway.models import User

from .ward import Ward, browser, url, vote

HOSTILE = "<script>alert(1)</script> \u202eevil\u202c \u200b"


def shown(person: User, **wanted: Any) -> list[UUID]:
    """All pages, one after the other."""
    found: list[UUID] = []
    after: UUID | None = None
    while True:
        page = queue.queue_page(User.objects.get(pk=person.pk), Filters(**wanted), after, timezone.now())
        found += [row.id for row in page.rows]
        after = page.older
        if after is None:
            return found


def voted(approval: Approval, person: User) -> None:
    Vote.objects.create(
        approval=approval,
        person_id=person.pk,
        name=person.username,
        choice=Choice.APPROVE,
        seen_digest=bytes(32),
        requester_id=approval.requester_id,
        at=timezone.now(),
    )


CASES: dict[str, dict[str, Any]] = {
    "of whoever reviews": {},
    "of my group": {"reviewers": ["reviewers"]},
    "of one of several groups": {"reviewers": ["others", "reviewers"]},
    "of another group": {"reviewers": ["others"]},
    "of a group with a name like it": {"reviewers": ['x"reviewers', "reviewers2", "REVIEWERS"]},
    "escalated to my group": {
        "reviewers": ["others"],
        "escalate_to": ["reviewers"],
        "escalated_at": timezone.now(),
    },
    "to be escalated to my group": {"reviewers": ["others"], "escalate_to": ["reviewers"]},
    "of another area": {"area": "other"},
}


@pytest.mark.parametrize("case", CASES)
def test_the_database_and_the_walls_agree_on_whose_it_is(ward: Ward, case: str) -> None:
    for requester in (ward.alice, ward.rita):
        ward.asks(requester, **CASES[case])
    ward.asks(ward.alice, barred=[str(ward.rita.pk)], **CASES[case])
    program = {"requester_kind": "service", "owner_id": ward.rita.pk}
    ward.asks(ward.carol, **program, **CASES[case])
    for person in (ward.rita, ward.bob, ward.stan, ward.dave, ward.erin, ward.carol):
        rows = walls.assigned(person, Approval.objects.all())
        assert set(rows) == {row for row in Approval.objects.all() if not walls.why_not(person, row)}, person


def test_reviewers_see_what_is_theirs_and_all_of_the_area_when_they_ask(ward: Ward) -> None:
    mine, theirs = ward.asks(reviewers=["reviewers"]), ward.asks(reviewers=["others"])
    own, elsewhere = ward.asks(ward.rita), ward.asks(area="other")
    assert shown(ward.rita) == [mine.pk]
    assert set(shown(ward.rita, everyone=True)) == {mine.pk, theirs.pk, own.pk}
    assert shown(ward.stan) == [elsewhere.pk]
    assert shown(ward.carol) == []


def test_what_somebody_voted_on_waits_for_others(ward: Ward) -> None:
    both = ward.asks(needed=2)
    voted(both, ward.rita)
    assert (shown(ward.rita), shown(ward.ravi)) == ([], [both.pk])
    page = browser(ward.ravi).get(url("queue")).content.decode()
    assert "1 of 2 votes" in page


def test_what_has_run_out_or_is_of_another_epoch_waits_no_more(ward: Ward) -> None:
    now = timezone.now()
    ward.asks(created_at=now - timedelta(hours=2), expires_at=now - timedelta(seconds=1))
    ward.asks(epoch=77)
    assert shown(ward.rita, everyone=True) == []


@pytest.mark.parametrize("order", ["deadline", "risk"])
def test_pages_follow_each_other_without_a_gap(
    ward: Ward, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    for at in range(23):
        until = now + timedelta(hours=1, minutes=at % 4)
        ward.asks(risk=at % 3, expires_at=until, reviewers=["others"] if at % 5 == 0 else [])
    rows = [row for row in Approval.objects.all() if not row.reviewers]
    keys = {
        "deadline": lambda row: (row.expires_at, -row.risk, row.pk.hex),
        "risk": lambda row: (-row.risk, row.expires_at, row.pk.hex),
    }
    expected = [row.pk for row in sorted(rows, key=keys[order])]
    for page, window in ((50, 10_000), (3, 10_000), (3, 5), (1, 2), (5, 1)):
        monkeypatch.setattr(queue, "PAGE", page)
        monkeypatch.setattr(queue, "WINDOW", window)
        assert shown(ward.rita, order=order) == expected, (page, window)


def test_a_page_that_looked_through_enough_says_so(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "WINDOW", 2)
    for at in range(3):
        ward.asks(reviewers=["others"], expires_at=timezone.now() + timedelta(minutes=10 + at))
    page = browser(ward.rita).get(url("queue"))
    assert "Look further" in page.content.decode()
    assert str(page.context["waiting"]) == "0+"


def test_filters_narrow_what_is_shown(ward: Ward) -> None:
    ward.asks(endpoint="chat", highest="restricted")
    triage = ward.asks(ward.carol, endpoint="triage")
    assert shown(ward.rita, endpoint="tri") == shown(ward.rita, requester="CAR") == [triage.pk]
    assert shown(ward.rita, level="confidential") == [triage.pk]
    assert shown(ward.rita, area="nowhere") == []
    page = browser(ward.rita).get(url("queue"), {"endpoint": "zzz"}).content.decode()
    assert "Nothing fits." in page


def test_decided_today_and_not_used_yet_have_their_lists(ward: Ward) -> None:
    approved, denied = ward.asks(), ward.asks()
    vote(ward.rita, approved)
    vote(ward.rita, denied, "deny", reason="no")
    assert shown(ward.rita, status="unused") == [approved.pk]
    assert shown(ward.ravi, status="today") == [denied.pk, approved.pk]
    for person in (ward.rita, ward.dave):
        page = browser(person).get(url("queue"), {"status": "today"}).content.decode()
        assert "Approved, not used yet" in page and "Denied" in page


def test_the_title_counts_and_the_front_page_leads_there(ward: Ward) -> None:
    ward.asks()
    ward.asks()
    assert "<title>(2) Review" in browser(ward.rita).get(url("queue")).content.decode()
    assert "<title>Review" in browser(ward.dave).get(url("queue")).content.decode()
    for person, words in ((ward.rita, "2 calls wait for your decision."), (ward.dave, "2 calls wait for")):
        home = browser(person).get("/").content.decode()
        assert words in home and 'href="/review/"' in home
    assert "wait for" not in browser(ward.carol).get("/").content.decode()


@pytest.mark.parametrize(
    ("query", "queries"), [("", 17), ("order=risk", 17), ("everyone=1", 22), ("status=unused", 20)]
)
def test_a_page_asks_the_database_as_often_for_full_pages_as_for_one_row(
    ward: Ward, query: str, queries: int
) -> None:
    """Votes, linked accounts and emergencies included. Signing in and roles are seven of them."""
    counts = set()
    other = ward.member("rolf", "reviewers")
    accounts_link(one=ward.ravi, other=other, by=None)
    for rows in (1, 60, 60):
        for _ in range(rows):
            voted(ward.asks(needed=2), ward.ravi)
            ward.asks(emergency=True, status="approved", decided_by=ward.ravi.pk, decided_at=timezone.now())
        client = browser(ward.rita)
        with CaptureQueriesContext(connection) as asked:
            assert client.get(f"{url('rows')}?{query}").status_code == 200
        counts.add(len(asked))
    assert counts == {queries}


def test_the_title_counts_beyond_the_page(ward: Ward) -> None:
    for at in (51, 98, 99, 100):
        while Approval.objects.count() < at:
            ward.asks()
        page = browser(ward.rita).get(url("queue"))
        assert str(page.context["waiting"]) == (str(at) if at < 100 else "99+")
        assert len(page.context["page"].rows) == 50
        assert str(queue.waiting_for(ward.rita, timezone.now())) == str(page.context["waiting"])


def test_hostile_words_stay_words(ward: Ward) -> None:
    ward.asks(purpose=HOSTILE, requester_name=HOSTILE, model=HOSTILE)
    page = browser(ward.rita).get(url("queue")).content.decode()
    assert "<script>alert" not in page
    assert "U+202E" in page


@pytest.mark.parametrize("query", ["after=x", "after=1"])
def test_nonsense_is_a_bad_request(ward: Ward, query: str) -> None:
    assert browser(ward.rita).get(f"{url('queue')}?{query}").status_code == 400


def test_an_unknown_filter_is_none(ward: Ward) -> None:
    ward.asks()
    page = browser(ward.rita).get(url("queue"), {"status": "x", "order": "x", "level": "x", "everyone": "x"})
    assert len(page.context["page"].rows) == 1


def test_empty_lists_say_what_would_be_there(ward: Ward) -> None:
    for query, words in (
        ("", "Nothing waits for you"),
        ("everyone=1", "Nothing waits"),
        ("status=unused", "No approval is unused"),
        ("status=today", "Nothing was decided today"),
    ):
        assert words in browser(ward.rita).get(f"{url('queue')}?{query}").content.decode()
