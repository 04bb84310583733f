"""P9: four eyes are two people, whatever accounts they come with, and whoever is stopped has no vote.

rita and ravi review; rita2 is another account of rita's; alice asks, robot is a program.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.contrib.auth.models import Group
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone

from approvals import counting, queue, tasks, walls
from approvals.digests import seen_digest
from approvals.models import Approval, Choice, SetAside, Status
from approvals.services import NotYours, TooLate, approval_decide, approval_revoke, emergency_look_at
from audit.models import Entry
from gateway.identity.accounts import service_account_change
from gateway.identity.directory import person_remove
from gateway.identity.directory_groups import person_hand_over
from gateway.identity.directory_tokens import directory_token_create
from gateway.identity.linking import accounts_link, accounts_part
from gateway.models import User
from gateway.services import lock_set
from policies import persons
from tests.approvals.people import World, decide
from tests.gateway import world as house

pytestmark = pytest.mark.django_db


class House(World):
    rita2: User
    rosa: User


@pytest.fixture
def ward() -> House:
    made = House()
    made.rita2, made.rosa = made.official("rita2", "reviewer"), made.official("rosa", "reviewer")
    return made


def link(one: User, other: User) -> None:
    assert accounts_link(one=one, other=other, by=None)


def told() -> list[dict[str, Any]]:
    rows = Entry.objects.filter(kind="event").order_by("sequence")
    return [orjson.loads(bytes(row.meta)) for row in rows]


def names() -> list[str]:
    return [each["event"] for each in told()]


def stands(row: Approval) -> str:
    row.refresh_from_db()
    return row.status


def test_two_accounts_of_one_person_are_one_vote(ward: House) -> None:
    link(ward.rita, ward.rita2)
    row = ward.approval(needed=2)
    decide(row, ward.rita)
    with pytest.raises(TooLate, match="voted on this request already"):
        decide(row, ward.rita2)
    assert stands(row) == Status.PENDING
    decide(row, ward.ravi)
    assert stands(row) == Status.APPROVED


@pytest.mark.parametrize("how", ["asks", "answers", "is barred"])
def test_nobody_decides_by_another_account_about_what_is_theirs(ward: House, how: str) -> None:
    fields: dict[str, Any] = {
        "asks": {"by": ward.rita2},
        "answers": {"by": ward.robot, "owner_id": ward.rita2.pk},
        "is barred": {"barred": [str(ward.rita2.pk)]},
    }[how]
    row = ward.approval(**fields)
    now = timezone.now()
    assert queue.waiting_for(ward.rita, now).number == 1
    link(ward.rita, ward.rita2)
    assert queue.waiting_for(ward.rita, now).number == 0
    assert not queue.queue_page(ward.rita, queue.Filters(everyone=True), None, now).rows[0].mine
    with pytest.raises(NotYours):
        decide(row, ward.rita)
    decide(row, ward.ravi)
    with pytest.raises(NotYours):
        approval_revoke(approval_id=row.pk, by=ward.rita, reason="mine")
    assert stands(row) == Status.APPROVED


def test_linking_before_the_decision_lets_it_wait_for_another_person(ward: House) -> None:
    row = ward.approval(needed=3)
    decide(row, ward.rita)
    decide(row, ward.rita2)
    link(ward.rita, ward.rita2)
    assert counting.in_favour(row) == 1 and names()[-2:] == ["approval.recounted", "accounts.linked"]
    decide(row, ward.ravi)
    assert stands(row) == Status.PENDING
    decide(row, ward.rosa)
    assert stands(row) == Status.APPROVED


@pytest.mark.parametrize("stands_behind", [False, True])
def test_linking_after_the_decision_voids_what_is_not_used_yet(ward: House, stands_behind: bool) -> None:
    row = ward.approval(needed=2, by=ward.rita2 if stands_behind else None)
    decide(row, ward.rita)
    decide(row, ward.ravi if stands_behind else ward.rita2)
    assert stands(row) == Status.APPROVED
    link(ward.rita, ward.rita2)
    assert stands(row) == Status.SUPERSEDED
    assert names()[-2:] == ["approval.superseded", "accounts.linked"]
    detail = told()[-2]["detail"]
    assert (detail["in_favour"], detail["needed"]) == (1, 2) and "one person" in detail["because"]


def test_what_enough_others_approved_or_was_used_stands(ward: House) -> None:
    row = ward.approval(needed=2)
    decide(row, ward.rita)
    decide(row, ward.ravi)
    used = ward.approval(needed=2)
    decide(used, ward.rita)
    decide(used, ward.rita2)
    Approval.objects.filter(pk=used.pk).update(
        status=Status.CONSUMED, consumed_at=timezone.now(), consumed_call_id=used.call_id
    )
    link(ward.rita, ward.rita2)
    assert (stands(row), stands(used)) == (Status.APPROVED, Status.CONSUMED)


def test_an_owner_who_takes_over_voids_what_another_account_of_theirs_voted_on(ward: House) -> None:
    link(ward.rita, ward.rita2)
    row = ward.approval(by=ward.robot, needed=2)
    decide(row, ward.rita)
    service_account_change(account=ward.robot, owner=ward.rita2, by=ward.ann)
    assert stands(row) == Status.SUPERSEDED


def test_nobody_looks_at_their_own_emergency_by_another_account(ward: House) -> None:
    greta2 = ward.official("greta2", "reviewer")
    link(ward.greta, greta2)
    row = ward.approval()
    approval_decide(
        approval_id=row.pk,
        by=ward.greta,
        choice=Choice.APPROVE,
        reason="on fire",
        seen=seen_digest(row),
        emergency=True,
    )
    now = timezone.now()
    assert queue.emergencies(greta2, now) == [] and len(queue.emergencies(ward.rita, now)) == 1
    with pytest.raises(NotYours, match="somebody else"):
        emergency_look_at(approval_id=row.pk, by=greta2, note="fine")
    emergency_look_at(approval_id=row.pk, by=ward.rita, note="fine")


def test_links_reach_over_several_accounts_and_are_taken_back(ward: House) -> None:
    link(ward.rita, ward.rita2)
    link(ward.rosa, ward.rita2)
    assert persons.same(ward.rita.pk, ward.rosa.pk)
    assert not accounts_link(one=ward.rita, other=ward.rosa, by=None)
    assert accounts_part(user=ward.rita2, by=None) and not accounts_part(user=ward.rita2, by=None)
    assert persons.same(ward.rita.pk, ward.rosa.pk) and not persons.same(ward.rita.pk, ward.rita2.pk)
    assert accounts_part(user=ward.rita, by=None)
    assert persons.accounts_of(ward.rosa.pk) == {ward.rosa.pk}
    assert names()[-2:] == ["accounts.parted", "accounts.parted"]


# --- who is stopped ----------------------------------------------------------------------------------


def locked(ward: House) -> None:
    lock_set(by=None, reason="stolen laptop", user=ward.rita)


def locked_by_group(ward: House) -> None:
    group = Group.objects.create(name="suspects")
    ward.rita.groups.add(group)
    lock_set(by=None, reason="an incident", group=group)


def locked_unnoticed(ward: House) -> None:
    group = Group.objects.create(name="suspects")
    lock_set(by=None, reason="an incident", group=group)
    ward.rita.groups.add(group)
    tasks.expire()


def inactive_by_admin(ward: House) -> None:
    browser = Client()
    browser.force_login(house.admin())
    form = {"username": "rita", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
    inline = {"identities-TOTAL_FORMS": "0", "identities-INITIAL_FORMS": "0"}
    groups = {"groups": [str(group.pk) for group in ward.rita.groups.all()]}
    answer = browser.post(f"/admin/gateway/user/{ward.rita.pk}/change/", form | inline | groups)
    assert answer.status_code == 302


def let_go_by_directory(ward: House) -> None:
    until = timezone.now() + timedelta(days=1)
    directory, _ = directory_token_create(name="Okta", expires_at=until, by=None)
    kept = person_hand_over(user=ward.rita, directory=directory, by=None)
    person_remove(directory=directory, kept=kept)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("stop", "because"),
    [
        (locked, "locked"),
        (locked_by_group, "locked"),
        (locked_unnoticed, "locked"),
        (inactive_by_admin, "made inactive"),
        (let_go_by_directory, "made inactive"),
    ],
)
def test_a_vote_of_who_is_stopped_before_the_decision_counts_no_more(
    ward: House, stop: Any, because: str
) -> None:
    row, decided = ward.approval(needed=2), ward.approval()
    decide(row, ward.rita)
    decide(decided, ward.rita)
    stop(ward)
    assert SetAside.objects.get().vote.name == "rita"
    event = next(each for each in told() if each["event"] == "approval.vote_set_aside")
    assert (event["detail"]["voter"], event["detail"]["because"]) == ("rita", because)
    decide(row, ward.ravi)
    assert (stands(row), stands(decided)) == (Status.PENDING, Status.APPROVED)
    browser = Client()
    browser.force_login(ward.rosa)
    page = browser.get(f"/review/{row.pk}/").content.decode()
    assert f"This does not count: they were {because} before it was decided." in page
    assert "1 of 2 votes" in page
    assert queue.queue_page(ward.rosa, queue.Filters(), None, timezone.now()).rows[0].votes == 1
    decide(row, ward.rosa)
    assert stands(row) == Status.APPROVED


@pytest.mark.django_db(transaction=True)
def test_a_vote_that_was_set_aside_does_not_come_back(ward: House) -> None:
    row = ward.approval(needed=2)
    decide(row, ward.rita)
    lock = lock_set(by=None, reason="stolen laptop", user=ward.rita)
    lock.lifted_at = timezone.now()
    lock.save()
    assert counting.in_favour(row) == 0
    with pytest.raises(TooLate, match="voted on this request already"):
        decide(row, ward.rita)
    decide(row, ward.ravi)
    assert stands(row) == Status.PENDING


def test_who_is_stopped_as_they_click_decides_nothing(ward: House) -> None:
    row = ward.approval()
    rita = User.objects.get(pk=ward.rita.pk)
    locked(ward)
    with pytest.raises(NotYours, match="locked or inactive"):
        decide(row, rita, Choice.DENY)
    User.objects.filter(pk=ward.ravi.pk).update(is_active=False)
    with pytest.raises(NotYours, match="locked or inactive"):
        decide(row, ward.ravi)
    assert stands(row) == Status.PENDING and not row.votes.exists()


@pytest.mark.django_db(transaction=True)
def test_what_was_set_aside_is_written_once(ward: House) -> None:
    row = ward.approval(needed=2)
    decide(row, ward.rita)
    locked(ward)
    for statement in ("UPDATE approvals_setaside SET because = 'inactive'", "DELETE FROM approvals_setaside"):
        with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


# --- in the admin and the API --------------------------------------------------------------------------


def test_accounts_are_linked_on_the_page_of_one(ward: House) -> None:
    browser, ada = Client(), house.admin()
    browser.force_login(ada)
    url = f"/admin/gateway/user/{ward.rita.pk}/change/"
    form = {
        "username": "rita",
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00:00",
        "identities-TOTAL_FORMS": "0",
        "identities-INITIAL_FORMS": "0",
    }
    for name, words in (("rita", "same account"), ("nobody", "no person"), (ada.username, "Somebody else")):
        assert words in browser.post(url, form | {"same_as": name}).content.decode()
    assert not persons.accounts_of(ward.rita.pk) - {ward.rita.pk}
    assert browser.post(url, form | {"same_as": "rita2"}).status_code == 302
    assert persons.same(ward.rita.pk, ward.rita2.pk) and "accounts.linked" in names()
    assert "rita2" in browser.get(url).content.decode()


def test_the_api_says_which_votes_count(ward: House) -> None:
    row = ward.approval(needed=3)
    decide(row, ward.rita)
    decide(row, ward.rita2)
    link(ward.rita, ward.rita2)
    browser = Client()
    browser.force_login(ward.ravi)
    votes = browser.get(f"/api/v1/approvals/{row.pk}").json()["votes"]
    assert [(each["by"], each["why_not"]) for each in votes] == [("rita", ""), ("rita2", counting.ONCE)]


def test_reviewers_see_that_it_waits_for_another_person(ward: House) -> None:
    row = ward.approval(needed=2, by=ward.rita2)
    decide(row, ward.rita)
    link(ward.rita, ward.rita2)
    browser = Client()
    browser.force_login(ward.ravi)
    page = browser.get(f"/review/{row.pk}/").content.decode()
    assert counting.STANDS_BEHIND in page and "0 of 2 votes" in page
    assert walls.why_not(ward.rita, row)
