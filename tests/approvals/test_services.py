"""Who may decide, comment, withdraw and take back, and what each is told otherwise (P9)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db.models import F

from approvals import services, sweeps, walls
from approvals.models import Approval, Choice, Comment, Status, Vote
from approvals.services import ApprovalRefused, NotYours, ReasonRefused, TooLate
from audit.models import Entry, Store
from audit.records import Who
from gateway.identity.authz import role_grant
from gateway.models import Area, User
from policies.engine.types import Holding
from tests.audit.world import broken

from . import world

pytestmark = pytest.mark.django_db(transaction=True)
SSN = "123-45-6789"


@pytest.fixture
def store(transactional_db: None) -> Iterator[Any]:
    with world.recorder_store() as made:
        yield made


def events(name: str) -> list[dict[str, Any]]:
    rows = Entry.objects.filter(kind="event").order_by("sequence")
    found = [json.loads(bytes(row.meta)) for row in rows]
    return [each for each in found if each["event"] == name]


def holder(name: str, role: str, *, area: Area | None = None, group: str = "") -> User:
    """Somebody with a role, in a group of their own unless said otherwise."""
    made, _ = Group.objects.get_or_create(name=group or f"of-{name}")
    role_grant(group=made, role=role, area=area, by=None)
    person = User.objects.create_user(name)
    person.groups.add(made)
    return person


def test_a_reviewer_of_the_group_decides(store: Any) -> None:
    (bob,) = world.reviewers("bob")
    approval = world.vote(world.opened(store), bob)
    assert (approval.status, approval.decided_by) == (Status.APPROVED, bob.pk)
    (voted,), (approved,) = events("approval.voted"), events("approval.approved")
    assert voted["by"]["name"] == "bob" and voted["area"] == approved["area"] == "clinic"
    assert not list(broken())


def requester(approval: Approval) -> User:
    person = User.objects.create_user("alice", id=approval.requester_id)
    person.groups.add(Group.objects.get(name="reviewers"))
    return person


def owner(approval: Approval) -> User:
    person = User.objects.create_user("olga", id=approval.owner_id)
    person.groups.add(Group.objects.get(name="reviewers"))
    return person


def elsewhere(approval: Approval) -> User:
    return holder("eva", "reviewer", area=Area.objects.create(slug="bank", name="Bank"))


def stranger(approval: Approval) -> User:
    return User.objects.create_user("carol")


def administrator(approval: Approval) -> User:
    return holder("ada", "admin")


def superuser(approval: Approval) -> User:
    return User.objects.create_superuser("root")


def other_group(approval: Approval) -> User:
    return holder("otto", "reviewer")


def inactive(approval: Approval) -> User:
    (person,) = world.reviewers("ines")
    person.is_active = False
    person.save()
    return person


NOBODY = (requester, owner, elsewhere, stranger, administrator, superuser, other_group, inactive)


@pytest.mark.parametrize(
    ("who", "emergency"),
    [
        *((who, False) for who in NOBODY),
        *((who, True) for who in NOBODY if who is not superuser),  # the demo's may break the glass
    ],
)
def test_nobody_else_decides(store: Any, who: Callable[[Approval], User], emergency: bool) -> None:
    world.reviewers("bob")
    asked = world.asked(requester_kind="service", owner_id=world.ids.new())
    approval = world.opened(store, asked)
    person = User.objects.get(pk=who(approval).pk)
    with pytest.raises(NotYours):
        world.vote(approval, person, emergency=emergency)
    approval.refresh_from_db()
    assert approval.status == Status.PENDING and not Vote.objects.exists()


def test_who_acts_for_the_requester_does_not_decide(store: Any) -> None:
    (bob,) = world.reviewers("bob")
    with pytest.raises(NotYours, match="act for"):
        world.vote(world.opened(store, world.asked(barred=(bob.pk,))), bob)


def test_a_role_that_is_lost_between_look_and_click_decides_nothing(store: Any) -> None:
    (bob,) = world.reviewers("bob")
    approval = world.opened(store)
    seen = walls.why_not(bob, approval)
    assert seen == ""
    bob.groups.clear()
    with pytest.raises(NotYours):
        world.vote(approval, User.objects.get(pk=bob.pk))


def test_two_approvals_are_two_persons(store: Any) -> None:
    bob, erin = world.reviewers("bob", "erin")
    approval = world.opened(store, world.asked(holding=Holding(reviewers=("reviewers",), needed=2)))
    assert world.vote(approval, bob).status == Status.PENDING
    with pytest.raises(TooLate, match="voted"):
        world.vote(approval, bob)
    assert world.vote(approval, erin).status == Status.APPROVED


def test_one_denial_decides_whatever_others_said(store: Any) -> None:
    bob, erin = world.reviewers("bob", "erin")
    approval = world.opened(store, world.asked(holding=Holding(reviewers=("reviewers",), needed=2)))
    world.vote(approval, bob)
    assert world.vote(approval, erin, Choice.DENY).status == Status.DENIED


@pytest.mark.parametrize(
    ("choice", "highest", "missing"),
    [
        (Choice.DENY, "internal", True),
        (Choice.APPROVE, "restricted", True),
        (Choice.APPROVE, "internal", False),
    ],
)
def test_denials_and_restricted_data_need_a_reason(
    store: Any, choice: Choice, highest: str, missing: bool
) -> None:
    (bob,) = world.reviewers("bob")
    approval = world.opened(store, world.asked(highest=highest))
    if missing:
        with pytest.raises(ReasonRefused):
            world.vote(approval, bob, choice, reason="  ")
    else:
        assert world.vote(approval, bob, choice, reason="").status == Status.APPROVED


def test_a_vote_counts_for_what_was_shown(store: Any) -> None:
    (bob,) = world.reviewers("bob")
    with pytest.raises(TooLate, match="changed"):
        world.vote(world.opened(store), bob, seen=b"x" * 32)


def test_reasons_and_comments_are_scrubbed_before_they_are_kept(store: Any) -> None:
    (bob,) = world.reviewers("bob")
    approval = world.opened(store)
    services.approval_comment(approval_id=approval.pk, by=bob, text=f"is {SSN} theirs?")
    world.vote(approval, bob, reason=f"the patient is {SSN}")
    kept = [Vote.objects.get().reason, Comment.objects.get().text]
    kept += [bytes(entry.meta).decode() for entry in Entry.objects.all()]
    assert not any(SSN in each for each in kept)
    assert "[US_SSN]" in Vote.objects.get().reason


def test_the_requester_withdraws_and_nobody_else(store: Any) -> None:
    approval = world.opened(store)
    with pytest.raises(NotYours):
        services.approval_withdraw(approval_id=approval.pk, by=Who(), requester_ids=[world.ids.new()])
    mine = [approval.requester_id]
    services.approval_withdraw(approval_id=approval.pk, by=Who(name="alice"), requester_ids=mine)
    with pytest.raises(TooLate, match="withdrawn"):
        services.approval_withdraw(approval_id=approval.pk, by=Who(), requester_ids=mine)


def test_what_is_approved_can_be_taken_back_until_it_is_used(store: Any) -> None:
    bob, erin = world.reviewers("bob", "erin")
    approval = world.vote(world.opened(store), bob)
    services.approval_revoke(approval_id=approval.pk, by=erin, reason="not any more")
    assert not world.consumed(store, approval)
    with pytest.raises(TooLate):
        services.approval_revoke(approval_id=approval.pk, by=erin, reason="again")


def test_an_emergency_is_decided_by_one_and_looked_at_by_another(store: Any) -> None:
    bob, _ = world.reviewers("bob", "erin")
    gwen = holder("gwen", "emergency")
    asked = world.asked(holding=Holding(reviewers=("reviewers",), needed=2))
    approval = world.opened(store, asked)
    with pytest.raises(ReasonRefused):
        world.vote(approval, gwen, emergency=True, reason="")
    assert world.vote(approval, gwen, emergency=True).status == Status.APPROVED
    assert Vote.objects.get().emergency and Approval.objects.get().emergency
    with pytest.raises(ApprovalRefused):
        services.emergency_look_at(approval_id=approval.pk, by=gwen, note="fine")
    services.emergency_look_at(approval_id=approval.pk, by=bob, note="fine")
    with pytest.raises(TooLate):
        services.emergency_look_at(approval_id=approval.pk, by=bob, note="fine")
    assert events("approval.emergency_reviewed")


def test_nothing_leaves_in_clear_on_one_persons_word(store: Any) -> None:
    """Whoever breaks the glass lets the masked request out."""
    bob, erin = world.reviewers("bob", "erin")
    gwen = holder("gwen", "emergency")
    holding = Holding(reviewers=("reviewers",), needed=2, clear=True)
    alone = world.vote(world.opened(store, world.asked(holding=holding)), gwen, emergency=True)
    assert not world.consumed(store, alone, in_clear=True)
    assert world.consumed(store, alone)
    both = world.opened(store, world.asked(holding=holding))
    for person in (bob, erin):
        both = world.vote(both, person)
    assert world.consumed(store, both, in_clear=True)
    masked = world.vote(world.opened(store), bob)
    assert not world.consumed(store, masked, in_clear=True)


def test_words_are_bounded_and_so_is_talk(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (bob,) = world.reviewers("bob")
    approval = world.opened(store)
    with pytest.raises(ReasonRefused, match="1000 characters"):
        world.vote(approval, bob, reason="x" * 1001)
    monkeypatch.setattr(services, "MOST_COMMENTS", 4)
    for _ in range(2):
        services.approval_comment(approval_id=approval.pk, by=bob, text="well")
    with pytest.raises(TooLate, match="2 comments already"):
        services.approval_comment(approval_id=approval.pk, by=bob, text="well")


def test_sweeps_end_what_is_over_once(store: Any) -> None:
    (bob,) = world.reviewers("bob")
    pending, approved = world.opened(store), world.vote(world.opened(store), bob)
    world.run_out(pending)
    world.run_out(approved)
    assert sweeps.approvals_expire() == 2
    assert sweeps.approvals_expire() == 0
    assert {row.status for row in Approval.objects.all()} == {Status.EXPIRED}
    assert len(events("approval.expired")) == 2


def test_a_restored_backup_is_swept_out(store: Any) -> None:
    approval = world.opened(store)
    Store.objects.update(epoch=F("epoch") + 1)
    assert sweeps.approvals_expire() == 1
    approval.refresh_from_db()
    assert approval.status == Status.SUPERSEDED


def test_others_are_asked_when_nobody_decides(store: Any) -> None:
    world.reviewers("bob")
    otto = holder("otto", "reviewer", group="night watch")
    holding = Holding(reviewers=("reviewers",), escalate_minutes=1, escalate_to=("night watch",))
    approval = world.opened(store, world.asked(holding=holding))
    assert sweeps.approvals_escalate() == 0
    with pytest.raises(NotYours):
        world.vote(approval, otto)
    Approval.objects.update(escalate_at=F("created_at"))
    assert [sweeps.approvals_escalate(), sweeps.approvals_escalate()] == [1, 0]
    assert world.vote(Approval.objects.get(), otto).status == Status.APPROVED
