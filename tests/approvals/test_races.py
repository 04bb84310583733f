"""P10: whoever comes first, there is one outcome, and what was enacted is what is stored."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest
from django.db import connections

from approvals import services
from approvals.models import Approval, Choice, Status, Vote
from approvals.services import ApprovalRefused
from audit.models import Entry
from audit.records import Who
from gateway.models import User
from tests.audit.world import broken

from . import world

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = int(os.environ.get("RACES", "500"))
SEED = int(os.environ.get("SEED", "20261125"))
HANDS = 8
TRIES = 15
CHANCES = ("approve", "approve", "deny", "withdraw", "use", "use")
Act = Callable[[Any, Approval], bool]


@contextmanager
def hands() -> Iterator[ThreadPoolExecutor]:
    """Eight threads, each with connections of its own."""
    with ThreadPoolExecutor(HANDS) as pool:
        yield pool
        barrier = Barrier(HANDS)

        def close() -> None:
            barrier.wait(10)
            connections.close_all()

        for done in [pool.submit(close) for _ in range(HANDS)]:
            done.result()


def voting(person: User, choice: Choice) -> Act:
    def act(store: Any, approval: Approval) -> bool:
        world.vote(approval, person, choice)
        return True

    return act


def withdrawing(store: Any, approval: Approval) -> bool:
    services.approval_withdraw(
        approval_id=approval.pk, by=Who(name="alice"), requester_ids=[approval.requester_id]
    )
    return True


def using(store: Any, approval: Approval) -> bool:
    """As a call that waits: again and again until it may leave, or gives up."""
    for _ in range(TRIES):
        if world.consumed(store, approval):
            return True
        time.sleep(0.002)
    return False


def tried(act: Act, barrier: Barrier, store: Any, approval: Approval) -> bool:
    """Whether it took effect, as its caller was told."""
    barrier.wait(10)
    try:
        return act(store, approval)
    except ApprovalRefused:
        return False


def one_outcome(approval: Approval, acts: list[str], told: list[bool]) -> None:
    """What everybody was told, against what is stored."""
    approval.refresh_from_db()
    done = [act for act, took in zip(acts, told, strict=True) if took]
    votes = dict(Vote.objects.filter(approval=approval).values_list("name", "choice"))
    assert len(votes) == sum(act in ("approve", "deny") for act in done)
    assert done.count("use") <= 1 and done.count("withdraw") <= 1
    approvals, denials = done.count("approve"), done.count("deny")
    assert approvals == list(votes.values()).count("approve") <= approval.needed
    assert denials == list(votes.values()).count("deny") <= 1
    match approval.status:
        case Status.CONSUMED:
            assert done.count("use") == 1 and not denials and "withdraw" not in done
        case Status.APPROVED:
            assert approvals == approval.needed and not denials and "withdraw" not in done
        case Status.DENIED:
            assert denials == 1 and "use" not in done and "withdraw" not in done
        case Status.WITHDRAWN:
            assert "withdraw" in done and "use" not in done and not denials
        case _:
            raise AssertionError(approval.status)


def test_eight_at_once_give_one_outcome_that_is_stored() -> None:
    rng = random.Random(SEED)
    people = world.reviewers(*(f"r{number}" for number in range(HANDS)))
    outcomes: dict[str, int] = {}
    with world.recorder_store() as store, hands() as pool, world.stores(HANDS) as stores:
        for _ in range(ROUNDS):
            holding = world.Holding(reviewers=("reviewers",), needed=rng.choice((1, 1, 2)))
            approval = world.opened(store, world.asked(holding=holding))
            names = ["approve", "approve", *rng.choices(CHANCES, k=HANDS - 2)]
            rng.shuffle(names)
            barrier = Barrier(HANDS)
            acts = {
                "approve": lambda n: voting(people[n], Choice.APPROVE),
                "deny": lambda n: voting(people[n], Choice.DENY),
                "withdraw": lambda n: withdrawing,
                "use": lambda n: using,
            }
            futures = [
                pool.submit(tried, acts[name](number), barrier, stores[number], approval)
                for number, name in enumerate(names)
            ]
            one_outcome(approval, names, [future.result(30) for future in futures])
            outcomes[approval.status] = outcomes.get(approval.status, 0) + 1
    assert set(outcomes) >= {"approved", "denied", "withdrawn", "consumed"}, outcomes
    assert not list(broken())
    moves = Entry.objects.filter(kind="event").count()
    assert moves >= ROUNDS


def test_two_who_ask_the_same_at_once_open_one_approval() -> None:
    with hands() as pool, world.stores(HANDS) as stores:
        for _ in range(40):
            asked = world.asked()
            barrier = Barrier(HANDS)

            def ask(store: Any, asked: Any = asked, barrier: Barrier = barrier) -> bool:
                barrier.wait(10)
                return world.took(
                    store, world.guards.opening(world.ids.new(), asked, world.ids.now(), at_most=50)
                )

            got = [future.result(30) for future in [pool.submit(ask, store) for store in stores]]
            assert got.count(True) == 1
            assert Approval.objects.filter(requester_id=asked.request.requester_id).count() == 1


def test_the_requester_never_decides_however_fast_they_are() -> None:
    alice, bob = world.reviewers("alice", "bob")
    with world.recorder_store() as store, hands() as pool:
        for _ in range(20):
            approval = world.opened(store, world.asked(requester=alice.pk))
            barrier = Barrier(HANDS)
            acts = [voting(alice if number % 2 else bob, Choice.APPROVE) for number in range(HANDS)]
            futures = [pool.submit(tried, act, barrier, None, approval) for act in acts]
            assert sum(future.result(30) for future in futures) == 1
            approval.refresh_from_db()
            assert approval.decided_by == bob.pk
