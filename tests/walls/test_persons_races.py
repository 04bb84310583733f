"""Nobody counts twice by having their accounts linked at the moment of the decision, and nobody's vote counts
who is locked at that moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from django.contrib.auth.models import Group
from django.db import connections, transaction

from approvals import counting
from approvals.models import Approval, SetAside, Status
from gateway.identity.linking import accounts_link, accounts_part
from gateway.models import Deployment, User
from gateway.services import lock_lift, lock_set
from policies import persons, proposals
from policies.models import ProposalState
from tests.approvals import world
from tests.gateway import two
from tests.walls.test_races import hands

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ROUNDS = 25
HOLDING = world.Holding(reviewers=("reviewers",), needed=2)


def apart(one: User, other: User) -> None:
    if persons.same(one.pk, other.pk):
        assert accounts_part(user=one, by=None)


def test_two_accounts_that_become_one_person_as_the_second_votes_are_one_vote() -> None:
    rita, double = world.reviewers("rita", "double")
    outcomes = set()
    with world.recorder_store() as store, hands() as at_once:
        for _ in range(ROUNDS):
            row = world.opened(store, world.asked(holding=HOLDING))
            world.vote(row, rita)
            let = at_once(
                lambda row=row: world.vote(row, double),  # type: ignore[misc]
                lambda: accounts_link(one=rita, other=double, by=None),
            )
            row.refresh_from_db()
            assert let[1] and row.status in (Status.PENDING, Status.SUPERSEDED)
            assert (row.status == Status.SUPERSEDED) == let[0]  # the vote was first: what it decided is void
            assert counting.in_favour(row) == 1
            outcomes.add(row.status)
            Approval.objects.filter(pk=row.pk, status=Status.PENDING).update(status=Status.WITHDRAWN)
            apart(rita, double)
    assert outcomes


def test_who_becomes_the_requester_as_they_vote_decides_nothing() -> None:
    rita, ravi = world.reviewers("rita", "ravi")
    alice = User.objects.create_user("alice")
    with world.recorder_store() as store, hands() as at_once:
        for _ in range(ROUNDS):
            row = world.opened(store, world.asked(requester=alice.pk))
            at_once(
                lambda row=row: world.vote(row, rita),  # type: ignore[misc]
                lambda: accounts_link(one=alice, other=rita, by=None),
            )
            row.refresh_from_db()
            assert row.status in (Status.PENDING, Status.SUPERSEDED) and counting.in_favour(row) == 0
            if row.status == Status.PENDING:
                assert world.vote(row, ravi).status == Status.APPROVED
            apart(alice, rita)


def test_a_proposer_who_becomes_the_confirmer_confirms_before_that_or_never() -> None:
    bob, grace = two.official("bob", "admin"), two.official("grace", "admin")
    Deployment.objects.update_or_create(pk=1, defaults={"two_person_roles": True})
    with hands() as at_once:
        for number in range(ROUNDS):
            group = Group.objects.create(name=f"shift {number}")
            payload = {"group": group.pk, "role": "auditor", "area": None}
            opened = proposals.propose(
                kind="role.grant", target_id=None, payload=payload, by=bob, reason="the night"
            )
            let = at_once(
                lambda opened=opened: proposals.confirm(proposal=opened, by=grace, seen=opened.basis),  # type: ignore[misc]
                lambda: accounts_link(one=bob, other=grace, by=None),
            )
            opened.refresh_from_db()
            assert let[1] and let[0] == (opened.state == ProposalState.CONFIRMED)
            assert group.role_grants.exists() == let[0]
            if not let[0]:
                with pytest.raises(proposals.NotAllowed, match="proposed this yourself"):
                    proposals.confirm(proposal=opened, by=grace, seen=opened.basis)
                proposals.withdraw(proposal=opened, by=bob)
            apart(bob, grace)


def test_who_decides_waits_for_who_links_and_sees_it() -> None:
    """The order that chance seldom gives: the link is there and not yet committed when the vote begins."""
    rita, double = world.reviewers("rita", "double")
    linked, begun = Event(), Event()

    def voted() -> str:
        linked.wait(20)
        begun.set()
        try:
            world.vote(row, double)
        except world.services.TooLate as refusal:
            return str(refusal)
        finally:
            connections.close_all()
        return ""

    with world.recorder_store() as store:
        row = world.opened(store, world.asked(holding=HOLDING))
    world.vote(row, rita)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(voted)
        with transaction.atomic():
            accounts_link(one=rita, other=double, by=None)
            linked.set()
            begun.wait(20)
        assert "voted on this request already" in told.result(30)
    row.refresh_from_db()
    assert row.status == Status.PENDING


def test_a_voter_who_is_locked_as_the_second_votes_counted_before_or_not_at_all() -> None:
    rita, ravi = world.reviewers("rita", "ravi")
    with world.recorder_store() as store, hands() as at_once:
        for _ in range(ROUNDS):
            row = world.opened(store, world.asked(holding=HOLDING))
            world.vote(row, rita)
            let = at_once(
                lambda row=row: world.vote(row, ravi),  # type: ignore[misc]
                lambda: lock_set(by=None, reason="stolen laptop", user=rita),
            )
            row.refresh_from_db()
            aside = SetAside.objects.filter(vote__approval=row).exists()
            assert let == [True, True] and aside == (row.status == Status.PENDING)
            assert aside or row.status == Status.APPROVED
            Approval.objects.filter(pk=row.pk, status=Status.PENDING).update(status=Status.WITHDRAWN)
            lock_lift(lock=rita.locks.get(lifted_at=None), by=None)
