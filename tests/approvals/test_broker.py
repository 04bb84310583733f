"""Waiting for a decision: told by a hint, found without one, and never longer than a caller may be kept."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar
from uuid import UUID

import pytest
from django.db import connections
from django.db.utils import OperationalError

from approvals import broker as module
from approvals import hints
from approvals.broker import ApprovalsUnavailable, Broker
from approvals.models import Approval, Choice, Status
from approvals.services import NotYours
from approvals.standing import Standing

from . import world

pytestmark = pytest.mark.django_db(transaction=True)
T = TypeVar("T")


@pytest.fixture
def store(transactional_db: None) -> Iterator[Any]:
    with world.recorder_store() as made:
        yield made


def served(work: Callable[[Broker], Awaitable[T]]) -> T:
    """On a loop, with a broker that is started and stopped as a process does it."""

    async def main() -> T:
        broker = Broker()
        broker.start()
        try:
            return await work(broker)
        finally:
            broker.stop()

    return asyncio.run(main())


async def waited(broker: Broker, approval: Approval, act: Callable[[], Any], seconds: float = 5) -> Standing:
    """What a waiting call gets when `act` is done meanwhile, in another thread as a page would."""
    with broker.waiting(approval.requester_id, approval.pk) as future:
        await asyncio.sleep(0.05)
        await asyncio.to_thread(act)
        return await asyncio.wait_for(future, seconds)


def acting(act: Callable[[], Any]) -> Callable[[], Any]:
    def run() -> Any:
        try:
            return act()
        finally:
            connections.close_all()

    return run


@pytest.mark.parametrize("hinted", [True, False], ids=["with a hint", "without one"])
def test_a_decision_reaches_whoever_waits(store: Any, hinted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    (bob,) = world.reviewers("bob")
    approval = world.opened(store)
    if not hinted:
        monkeypatch.setattr(hints, "heard", lambda approval_id: None)
    else:
        monkeypatch.setattr(module, "POLL", 60.0)
    deny = acting(lambda: world.vote(approval, bob, Choice.DENY, reason="no"))
    standing = served(lambda broker: waited(broker, approval, deny))
    assert (standing.status, standing.reason) == (Status.DENIED, "no")


def test_a_decision_between_the_look_and_the_wait_is_not_missed(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL", 60.0)
    (bob,) = world.reviewers("bob")
    approval = world.vote(world.opened(store), bob)
    assert served(lambda broker: waited(broker, approval, lambda: None)).status is Status.APPROVED


def test_what_runs_out_unswept_is_noticed(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.2)
    approval = world.opened(store)
    standing = served(lambda broker: waited(broker, approval, acting(lambda: world.run_out(approval))))
    assert standing.status is Status.PENDING and standing.expires_at <= world.ids.now()


def test_a_store_that_is_away_ends_no_wait_and_answers_no_question(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bob,) = world.reviewers("bob")
    approval = world.opened(store)
    real, down = module.connected, threading.Event()

    def connected(question: Callable[[], Any]) -> Any:
        if down.is_set():
            raise OperationalError("away")
        return real(question)

    monkeypatch.setattr(module, "connected", connected)

    async def work(broker: Broker) -> Standing:
        with broker.waiting(approval.requester_id, approval.pk) as future:
            down.set()
            with pytest.raises(ApprovalsUnavailable):
                await broker.find(world.request_of(approval))
            await asyncio.to_thread(acting(lambda: world.vote(approval, bob)))
            await asyncio.sleep(1)
            assert not future.done()
            down.clear()
            return await asyncio.wait_for(future, 5)

    assert served(work).status is Status.APPROVED


def test_a_store_that_stands_still_keeps_nobody_for_long(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    still = threading.Event()
    monkeypatch.setattr(module, "_find", lambda requests: still.wait(60))
    monkeypatch.setattr(module, "ASKING_AT_MOST", 200)
    requests = [world.asked().request for _ in range(module.ASKING_AT_MOST + 5)]

    async def work(broker: Broker) -> float:
        began = time.monotonic()
        asked = [broker.find(request) for request in requests]
        got = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(each) for each in got} == {ApprovalsUnavailable}
        still.set()
        return time.monotonic() - began

    assert served(work) < 15  # not as long as the store; machines that run tests are busy


def test_what_many_ask_at_once_is_asked_as_one_and_each_gets_their_own_answer(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = UUID(int=7)
    opened = [world.opened(store, world.asked(mine)) for _ in range(3)]
    denied, over, none = world.opened(store), world.opened(store), world.asked().request
    world.vote(denied, *world.reviewers("bob"), Choice.DENY, reason="no")
    world.run_out(over)
    questions: list[object] = []
    real = module.connected

    def connected(question: Callable[[], Any]) -> Any:
        questions.append(question)
        return real(question)

    monkeypatch.setattr(module, "connected", connected)
    monkeypatch.setattr(module, "CHUNK", 3)
    asked = [*map(world.request_of, [*opened, denied]), none]

    async def work(broker: Broker) -> tuple[list[Standing | None], list[int]]:
        found = await asyncio.gather(*map(broker.find, [*asked * 100, world.request_of(over)]))
        counted = await asyncio.gather(*(broker.open_of(each) for each in [mine, UUID(int=8)] * 100))
        return found, counted

    found, counted = served(work)
    assert [each and each.id for each in found] == [
        *[*(row.pk for row in opened), denied.pk, None] * 100,
        None,
    ]
    assert found[3] is not None and found[3].reason == "no"
    assert counted == [3, 0] * 100
    over.refresh_from_db()
    assert over.status == Status.EXPIRED
    assert len(questions) < 10


def test_the_failure_of_one_round_is_told_to_those_who_asked_in_it(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    approval, real, broken = world.opened(store), module._find, [True]

    def find(requests: Any) -> Any:
        if broken.pop():
            broken.append(False)
            raise OperationalError("once")
        broken.append(False)
        return real(requests)

    monkeypatch.setattr(module, "_find", find)
    request = world.request_of(approval)

    async def work(broker: Broker) -> list[Standing | BaseException | None]:
        early = asyncio.create_task(broker.find(request))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # its round has begun
        late = [broker.find(request) for _ in range(3)]
        return await asyncio.gather(early, *late, return_exceptions=True)

    early, *late = served(work)
    assert isinstance(early, ApprovalsUnavailable)
    assert {each.id for each in late if isinstance(each, Standing)} == {approval.pk} and len(late) == 3


def test_there_is_room_for_so_many_of_one_caller_and_in_all(
    store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HELD_PER_CALLER", 1)
    monkeypatch.setattr(module, "HELD_AT_MOST", 2)
    alice, bob, carol = UUID(int=1), UUID(int=2), UUID(int=3)

    async def work(broker: Broker) -> None:
        with broker.waiting(alice, world.ids.new()):
            assert not broker.has_room(alice) and broker.has_room(bob)
            with broker.waiting(bob, world.ids.new()):
                assert not broker.has_room(carol)
            assert broker.has_room(carol)
        assert broker.held == 0 and broker.has_room(alice)

    served(work)


def test_who_stands_behind_a_call_that_joins_does_not_decide_about_it(store: Any) -> None:
    bob, erin = world.reviewers("bob", "erin")
    approval = world.opened(store)
    assert served(lambda broker: broker.bar(approval.pk, [bob.pk]))
    with pytest.raises(NotYours):
        world.vote(Approval.objects.get(), bob)
    assert world.vote(Approval.objects.get(), erin).status == Status.APPROVED
    assert not served(lambda broker: broker.bar(approval.pk, [erin.pk]))
    approval.refresh_from_db()
    assert approval.status == Status.SUPERSEDED


def test_what_is_in_the_way_of_a_new_approval_is_ended(store: Any) -> None:
    approval = world.opened(store)
    world.run_out(approval)
    assert served(lambda broker: broker.find(world.request_of(approval))) is None
    approval.refresh_from_db()
    assert approval.status == Status.EXPIRED


@pytest.mark.skipif(not os.environ.get("REDIS_URL"), reason="the part of the suite with Redis")
def test_another_process_hears_through_redis_and_nonsense_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.REDIS_URL = os.environ["REDIS_URL"]
    heard: list[UUID] = []
    monkeypatch.setattr(hints, "heard", heard.append)
    ear, approval_id = hints.Ear(), world.ids.new()
    ear.start()
    publisher = hints._Publisher()
    deadline = time.monotonic() + 10
    while approval_id not in heard and time.monotonic() < deadline:
        hints._connected(1).publish(hints.CHANNEL, b"nonsense")
        publisher.publish(approval_id)
        time.sleep(0.05)
    ear.stop()
    assert set(heard) == {approval_id}


def test_a_redis_that_is_away_keeps_no_decision(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    publisher = hints._Publisher()
    began = time.monotonic()
    for _ in range(100):
        publisher.publish(world.ids.new())
    assert time.monotonic() - began < 3
