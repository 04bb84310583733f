"""One state machine, driven by Hypothesis against a model of it, on either database (P8 to P10)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import F
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from approvals import services, sweeps
from approvals.broker import _find, _over
from approvals.models import Approval, Choice, Status, Vote
from approvals.services import ApprovalRefused
from audit.models import Store
from audit.records import Recordable, Who
from gateway.models import User
from policies.engine.types import Holding

from . import world

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = ("bob", "erin", "frank")
PERSONS = st.sampled_from(("alice", *NAMES, "carol"))
CHOICES = st.sampled_from(Choice)
SEEN = st.sampled_from(("as shown", "something else"))


class Expected:
    """What an approval should be, by the sentences of the design and nothing else."""

    def __init__(self, needed: int, epoch: int) -> None:
        self.needed, self.epoch = needed, epoch
        self.status = Status.PENDING
        self.over = False  # its time has passed
        self.votes: dict[str, Choice] = {}

    def lives(self, epoch: int) -> bool:
        return not self.over and self.epoch == epoch

    def may_vote(self, name: str, epoch: int) -> bool:
        return (
            self.status is Status.PENDING and self.lives(epoch) and name in NAMES and name not in self.votes
        )

    def vote(self, name: str, choice: Choice) -> None:
        self.votes[name] = choice
        if choice is Choice.DENY:
            self.status = Status.DENIED
        elif list(self.votes.values()).count(Choice.APPROVE) >= self.needed:
            self.status, self.over = Status.APPROVED, False


class Machine(RuleBasedStateMachine):
    approvals = Bundle("approvals")
    store: Any
    people: dict[str, User]

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[Any, Expected] = {}
        self.epoch = Store.objects.get().epoch
        self.uses: dict[Any, int] = {}

    def row(self, approval_id: Any) -> Approval:
        return Approval.objects.get(pk=approval_id)

    @rule(target=approvals, needed=st.integers(1, 2))
    def open(self, needed: int) -> Any:
        alice = self.people["alice"].pk
        asked = world.asked(alice, holding=Holding(reviewers=("reviewers",), needed=needed))
        approval = world.opened(self.store, asked)
        self.known[approval.pk] = Expected(needed, self.epoch)
        return approval.pk

    @rule(
        approval_id=approvals, name=PERSONS, choice=st.sampled_from(Choice), seen=SEEN, reason=st.booleans()
    )
    def vote(self, approval_id: Any, name: str, choice: Choice, seen: str, reason: bool) -> None:
        row, expected = self.row(approval_id), self.known[approval_id]
        more: dict[str, Any] = {} if seen == "as shown" else {"seen": b"x" * 32}
        counts = expected.may_vote(name, self.epoch) and seen == "as shown" and reason
        try:
            world.vote(row, self.people[name], choice, **more, reason="because" if reason else "")
        except ApprovalRefused:
            assert not counts
        else:
            assert counts
            expected.vote(name, choice)

    @rule(approval_id=approvals, name=PERSONS)
    def withdraw(self, approval_id: Any, name: str) -> None:
        expected = self.known[approval_id]
        counts = name == "alice" and expected.status is Status.PENDING and expected.epoch == self.epoch
        try:
            services.approval_withdraw(
                approval_id=approval_id, by=Who(name=name), requester_ids=[self.people[name].pk]
            )
        except ApprovalRefused:
            assert not counts
        else:
            assert counts
            expected.status = Status.WITHDRAWN

    @rule(approval_id=approvals, name=PERSONS)
    def revoke(self, approval_id: Any, name: str) -> None:
        expected = self.known[approval_id]
        counts = name in NAMES and expected.status is Status.APPROVED and expected.epoch == self.epoch
        try:
            services.approval_revoke(approval_id=approval_id, by=self.people[name], reason="no")
        except ApprovalRefused:
            assert not counts
        else:
            assert counts
            expected.status = Status.REVOKED

    @rule(approval_id=approvals, same=st.booleans())
    def use(self, approval_id: Any, same: bool) -> None:
        row, expected = self.row(approval_id), self.known[approval_id]
        binding = world.binding_of(row)
        if not same:
            binding = binding._replace(sent_digest=b"x" * 32)
        counts = same and expected.status is Status.APPROVED and expected.lives(self.epoch)
        assert world.consumed(self.store, row, binding=binding) is counts
        if counts:
            self.uses[approval_id] = self.uses.get(approval_id, 0) + 1
            expected.status = Status.CONSUMED

    @rule(approval_id=approvals)
    def time_passes(self, approval_id: Any) -> None:
        expected = self.known[approval_id]
        if expected.status in (Status.PENDING, Status.APPROVED):
            world.run_out(self.row(approval_id))
            expected.over = True

    @rule()
    def sweep(self) -> None:
        sweeps.approvals_expire()
        for expected in self.known.values():
            if expected.status in (Status.PENDING, Status.APPROVED) and not expected.lives(self.epoch):
                old = expected.epoch != self.epoch
                expected.status = Status.SUPERSEDED if old else Status.EXPIRED

    @rule()
    def restore(self) -> None:
        Store.objects.update(epoch=F("epoch") + 1)
        self.epoch += 1

    @rule(approval_id=approvals)
    def look(self, approval_id: Any) -> None:
        """What a call that comes again finds; what is in its way is cleared."""
        row, expected = self.row(approval_id), self.known[approval_id]
        request = world.request_of(row)
        found, in_its_way = _find([request])[request]
        for each in in_its_way:
            _over(each)
        lives = expected.lives(self.epoch)
        if expected.status in (Status.PENDING, Status.APPROVED, Status.DENIED) and lives:
            assert found is not None and (found.id, found.status) == (row.pk, expected.status)
            return
        assert found is None
        if expected.status in (Status.PENDING, Status.APPROVED):
            old = expected.epoch != self.epoch
            expected.status = Status.SUPERSEDED if old else Status.EXPIRED

    @invariant()
    def stored_is_expected(self) -> None:
        rows = {row.pk: row for row in Approval.objects.filter(pk__in=self.known)}
        for approval_id, expected in self.known.items():
            row = rows[approval_id]
            assert row.status == expected.status
            assert self.uses.get(approval_id, 0) == (row.status == Status.CONSUMED)
            voted = dict(Vote.objects.filter(approval=row).values_list("name", "choice"))
            assert voted == expected.votes


def test_whatever_is_done_in_whatever_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "scrub", lambda text: Recordable(text.encode()))  # compiled elsewhere
    people = world.reviewers("alice", *NAMES)
    carol = User.objects.create_user("carol")
    Machine.people = {person.username: person for person in [*people, carol]}
    with world.recorder_store() as store:
        Machine.store = store
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=60,
                stateful_step_count=25,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
