"""Opening and using an approval: what the database itself lets through, whatever asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import F

from approvals import guards
from approvals.models import TRANSITIONS, Approval, Status
from approvals.triggers import BOUND, MOVES
from audit import ids
from audit.models import Store
from policies.engine.types import Holding

from . import world

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def store(transactional_db: None) -> Iterator[Any]:
    with world.recorder_store() as made:
        yield made


def approved(store: Any) -> Approval:
    approval = world.opened(store)
    (bob,) = world.reviewers("bob")
    return world.vote(approval, bob)


def test_the_opening_fills_every_column_that_has_no_default() -> None:
    filled = {*guards._COLUMNS, "epoch"}
    later = {"escalated_at", "decided_at", "decided_by", "consumed_at", "consumed_call_id"}
    later |= {"looked_at", "looked_by"}
    assert filled | later == {field.column for field in Approval._meta.concrete_fields}
    assert filled & later == set()


def test_what_is_opened_reads_as_it_was_asked(store: Any) -> None:
    asked = world.asked(
        holding=Holding(reviewers=("a", "b"), needed=2, escalate_minutes=5, escalate_to=("c",))
    )
    approval = world.opened(store, asked)
    assert (approval.status, approval.epoch) == (Status.PENDING, Store.objects.get().epoch)
    assert (approval.reviewers, approval.needed, approval.escalate_to) == (["a", "b"], 2, ["c"])
    assert approval.counts == {"US_SSN": 1} and approval.score == [[5, "US_SSN"]]
    assert (
        approval.escalate_at is not None and approval.created_at < approval.escalate_at < approval.expires_at
    )
    assert world.binding_of(approval) == asked.binding


def test_clear_release_takes_two_whatever_the_policy_says(store: Any) -> None:
    assert world.opened(store, world.asked(holding=Holding(needed=1, clear=True))).needed == 2


def test_one_request_has_one_open_approval(store: Any) -> None:
    asked = world.asked()
    world.opened(store, asked)
    assert not world.took(store, guards.opening(ids.new(), asked, ids.now(), at_most=50))


def test_a_caller_has_so_many_open_at_most_and_what_is_over_does_not_count(store: Any) -> None:
    mine = uuid4()
    first, *others = (world.asked(mine) for _ in range(3))
    early = world.opened(store, first)
    assert not world.took(store, guards.opening(ids.new(), others[0], ids.now(), at_most=1))
    assert world.took(store, guards.opening(ids.new(), world.asked(), ids.now(), at_most=1))
    world.run_out(early)
    assert world.took(store, guards.opening(ids.new(), others[0], ids.now(), at_most=1))
    Store.objects.update(epoch=F("epoch") + 1)
    assert world.took(store, guards.opening(ids.new(), others[1], ids.now(), at_most=1))


def test_a_grant_lets_one_call_out(store: Any) -> None:
    approval = approved(store)
    assert world.consumed(store, approval)
    assert not world.consumed(store, approval)
    approval.refresh_from_db()
    assert approval.status == Status.CONSUMED and approval.consumed_call_id is not None


@pytest.mark.parametrize("name", world.Binding._fields)
def test_a_grant_for_anything_else_lets_nothing_out(store: Any, name: str) -> None:
    approval = approved(store)
    other: Any = {"sent_digest": b"x" * 32, "model": "other"}.get(name, uuid4())
    binding = world.binding_of(approval)._replace(**{name: other})
    assert not world.consumed(store, approval, binding=binding)


@pytest.mark.parametrize(
    "other", [{"requester_id": uuid4()}, {"hmac": b"x" * 32}], ids=["another caller", "another request"]
)
def test_a_grant_is_for_one_request_of_one_caller(store: Any, other: dict[str, Any]) -> None:
    approval = approved(store)
    assert not world.consumed(store, approval, request=world.request_of(approval)._replace(**other))


def test_a_grant_that_has_run_out_or_is_of_another_epoch_lets_nothing_out(store: Any) -> None:
    approval = approved(store)
    Store.objects.update(epoch=F("epoch") + 1)
    assert not world.consumed(store, approval)
    Store.objects.update(epoch=F("epoch") - 1)
    world.run_out(approval)
    assert not world.consumed(store, approval)


@pytest.mark.parametrize("status", [s for s in Status if s != Status.APPROVED])
def test_only_what_is_approved_lets_anything_out(store: Any, status: Status) -> None:
    approval = world.opened(store)
    sets: dict[str, Any] = {"status": status}
    if status in (Status.DENIED,):
        sets |= {"decided_at": ids.now(), "decided_by": uuid4()}
    if status in (Status.CONSUMED, Status.REVOKED):
        approval = world.vote(approval, *world.reviewers("bob"))
        if status == Status.CONSUMED:
            sets |= {"consumed_at": ids.now(), "consumed_call_id": uuid4()}
    Approval.objects.filter(pk=approval.pk).update(**sets)
    assert not world.consumed(store, approval)


def test_the_triggers_know_the_table_of_moves() -> None:
    assert set(MOVES) == {(old.value, new.value) for old, news in TRANSITIONS.items() for new in news}


@pytest.mark.parametrize("column", [c for c in BOUND if c not in ("id", "requester_kind", "owner_id")])
def test_what_is_bound_never_changes(store: Any, column: str) -> None:
    approval = world.opened(store)
    value = getattr(approval, column)
    other: Any = {"epoch": 99, "needed": 3, "clear": True, "area": "x", "model": "x"}.get(column)
    if column.endswith("_id"):
        other = uuid4()
    elif isinstance(value, bytes | memoryview):
        other = b"y" * 32
    elif column == "created_at":
        other = ids.moment(1)
    with pytest.raises(Exception, match="may not move or change"):
        Approval.objects.filter(pk=approval.pk).update(**{column: other})


def test_nothing_moves_out_of_an_end_and_nothing_is_deleted(store: Any) -> None:
    approval = world.opened(store)
    Approval.objects.filter(pk=approval.pk).update(status=Status.WITHDRAWN)
    with pytest.raises(Exception, match="may not move or change"):
        Approval.objects.filter(pk=approval.pk).update(status=Status.PENDING)
    with pytest.raises(Exception, match="may not move or change"), connection.cursor() as cursor:
        cursor.execute("DELETE FROM approvals_approval")
